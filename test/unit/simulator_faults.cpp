// Faults of the signed network happen when they are asked for, as often, and to the right account.

#include "../simulator/signed/network.hpp"
#include "../simulator/signed/outage.hpp"
#include "../simulator/signed/recording.hpp"

#include <boost/json.hpp>
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

using namespace recordkv::sim;
namespace json = boost::json;

namespace {

bool always(fault) { return true; }

struct told {
  std::vector<std::uint64_t> seqs;
  std::vector<std::string> messages;
};

told run(std::string_view faults, std::uint64_t count, std::uint64_t seed = 4) {
  fault_plan plan;
  REQUIRE(plan.add(faults).has_value());
  told out;
  network n({.seed = seed, .accounts = 40}, {.pds = {"http://127.0.0.1:1"}}, plan,
            [&](std::uint64_t seq, std::string_view m) { out.seqs.push_back(seq), out.messages.emplace_back(m); });
  while (out.messages.size() < count) n.next(count > out.messages.size() + 100 ? count - out.messages.size() - 100 : 1);
  CHECK(json::parse(n.log().json(n.plan())).at("armed").as_object().empty());
  return out;
}

// One account with five posts, of two hosts.
struct scene {
  std::vector<std::string> messages;
  network n{{.seed = 4, .accounts = 4},
            {.pds = {"http://127.0.0.1:1", "http://127.0.0.1:2"}},
            {},
            [this](std::uint64_t, std::string_view m) { messages.emplace_back(m); }};
  account& who = n.accounts().at(1);

  scene() {
    for (int i = 0; i < 5; ++i) n.post(who);
  }

  // The kinds of the messages that it brings, with their status.
  std::vector<std::string> inject(fault f) {
    messages.clear();
    CHECK(n.inject(f, who));
    std::vector<std::string> out;
    for (const std::string& m : messages) {
      const std::size_t begin = m.find('#');
      out.push_back(m.substr(begin, m.find("bop", begin) - begin));
      for (const char* status : {"deactivated", "takendown", "suspended", "deleted"})
        if (m.find(status) != std::string::npos) out.back().append(" ").append(status);
    }
    return out;
  }
};

}  // namespace

TEST_CASE("planned faults happen exactly as often as planned") {
  fault_plan plan;
  REQUIRE(plan.add("forged=3,gap=1,high_s=1/50").has_value());
  std::map<fault, int> seen;
  for (std::uint64_t i = 0; i < 5'000; ++i) {
    draw d(1, i);
    const auto f = plan.choose(0, i < 4'000 ? 4'000 - i : 1, d, [](fault k) { return k != fault::gap; });
    if (f) ++seen[*f];
  }
  CHECK(seen[fault::forged] == 3);
  CHECK(seen[fault::high_s] > 50);
  CHECK(seen[fault::high_s] < 200);
  CHECK(plan.waiting() == std::map<std::string_view, std::uint64_t>{{"gap", 1}});
}

TEST_CASE("an armed fault waits for its account, and comes before planned ones") {
  fault_plan plan;
  REQUIRE(plan.add("gap=1").has_value());
  plan.arm(fault::forged, 7, 2);
  draw d(1, 1);
  CHECK(plan.choose(7, 1, d, always) == fault::forged);
  CHECK(plan.choose(6, 1, d, always) == fault::gap);
  CHECK(plan.choose(6, 1, d, always) == std::nullopt);
  CHECK(plan.choose(7, 1, d, always) == fault::forged);
  CHECK(plan.choose(7, 1, d, always) == std::nullopt);
}

TEST_CASE("lists of faults that say nothing are refused") {
  for (const char* bad : {"nonsense=1", "gap", "gap=", "gap=0", "gap=1/0", "gap=x", "gap=1,,forged=1"}) {
    INFO(bad);
    fault_plan plan;
    CHECK(plan.add(bad).has_error());
  }
}

TEST_CASE("every kind of fault has a name that leads back to it") {
  for (unsigned i = 0; i <= static_cast<unsigned>(fault::disconnect); ++i) {
    const auto f = static_cast<fault>(i);
    CHECK(fault_named(name(f)) == f);
  }
  CHECK_FALSE(fault_named(""));
}

TEST_CASE("the same faults at the same seed are the same messages") {
  constexpr const char* faults =
      "forged=2,mutated=2,wrong_key=1,gap=1,rotation=1,deactivated=1,sync_moved=1,seq_back=1";
  const told once = run(faults, 1'500);
  CHECK(once.messages == run(faults, 1'500).messages);
  CHECK(once.messages != run(faults, 1'500, 5).messages);
  CHECK(once.messages != run("", 1'500).messages);
  CHECK(std::ranges::is_sorted(once.seqs));
  std::size_t own = 0;
  for (std::size_t i = 0; i < once.seqs.size(); ++i) own += seq_of(once.messages[i]) == once.seqs[i];
  CHECK(own == once.seqs.size() - 1);  // all but seq_back
}

TEST_CASE("the number of a message is found, and none where there is none") {
  const std::string message = identity_message("did:plc:cseq", "a.test", 1, 70'000);
  CHECK(seq_of(message) == 70'000);
  CHECK(seq_of(account_message("did:plc:a", {}, 1, 23)) == 23);
  CHECK(seq_of(info_message("OutdatedCursor")) == 0);
  CHECK(seq_of(std::string_view(message).substr(0, message.find("cseq\x1a") + 6)) == 0);
}

TEST_CASE("an outage is for one account or for all, and for so many requests") {
  std::vector<injection> noted;
  outage o("plc", [&](injection i) { noted.push_back(std::move(i)); });
  const auto set = [&](query q) { return o.set(q).has_value(); };
  CHECK(o.meet("did:a").mode == outage_mode::ok);
  CHECK(set({{"mode", "429"}, {"did", "did:a"}, {"count", "2"}}));
  CHECK(o.meet("did:b").mode == outage_mode::ok);
  CHECK(o.meet("did:a").mode == outage_mode::too_many);
  CHECK(o.meet("did:a").mode == outage_mode::too_many);
  CHECK(o.meet("did:a").mode == outage_mode::ok);
  CHECK(set({{"mode", "down"}}));
  CHECK(o.meet("did:b").mode == outage_mode::down);
  CHECK(set({{"mode", "ok"}}));
  CHECK(o.meet("did:b").mode == outage_mode::ok);
  CHECK_FALSE(set({{"mode", "sometimes"}}));
  CHECK_FALSE(set({{"mode", "slow"}, {"ms", "long"}}));
  REQUIRE(noted.size() == 3);
  CHECK(noted[0].kind == "plc_429");
  CHECK(noted[2].kind == "plc_down");
  CHECK(noted[2].did == "did:b");
  CHECK(outage::instead({outage_mode::down})->drop);
  CHECK(outage::instead({outage_mode::gone})->status == 410);
  CHECK_FALSE(outage::instead({outage_mode::slow}));
  CHECK(delay_of({outage_mode::slow}) == std::chrono::seconds(1));
}

TEST_CASE("an outage that concerns exports waits for one") {
  std::vector<injection> noted;
  outage o("pds", [&](injection i) { noted.push_back(std::move(i)); });
  const auto exports = [](outage_mode) { return true; };
  REQUIRE(o.set({{"mode", "half"}, {"did", "did:a"}, {"count", "1"}}).has_value());
  CHECK(o.meet("did:a").mode == outage_mode::ok);
  CHECK(noted.empty());
  CHECK(o.meet("did:a", exports).mode == outage_mode::half);
  CHECK(o.meet("did:a", exports).mode == outage_mode::ok);
  REQUIRE(noted.size() == 1);
  CHECK(noted[0].kind == "pds_half");
  CHECK_FALSE(outage("plc", [](injection) {}).set({{"mode", "half"}}).has_value());
}

TEST_CASE("each outage keeps its own numbers") {
  outage o("pds", [](injection) {});
  REQUIRE(o.set({{"mode", "429"}, {"did", "did:a"}, {"retry_after", "7"}}).has_value());
  REQUIRE(o.set({{"mode", "slow"}, {"ms", "40"}}).has_value());
  CHECK(outage::instead(o.meet("did:a"))->headers == "Retry-After: 7\r\n");
  CHECK(delay_of(o.meet("did:b")) == std::chrono::milliseconds(40));
  REQUIRE(o.set({{"mode", "401"}, {"did", "did:a"}}).has_value());
  CHECK(outage::instead(o.meet("did:a"))->status == 401);
  CHECK_FALSE(o.set({{"mode", "429"}, {"retry_after", "soon"}}).has_value());
}

TEST_CASE("an account that moves is active at its new host, and the old one calls it deactivated") {
  scene s;
  const std::size_t before = s.n.accounts().pds_of(s.who);
  CHECK_FALSE(s.n.accounts().status_at(1 - before, s.who));
  const auto kinds = s.inject(fault::migrated);
  CHECK(kinds == std::vector<std::string>{"#identity", "#account", "#sync", "#account deactivated"});
  CHECK(s.n.accounts().pds_of(s.who) == 1 - before);
  CHECK(s.n.accounts().document(s.who).find("http://127.0.0.1:" + std::to_string(2 - before)) != std::string::npos);
  CHECK(s.n.accounts().status_at(1 - before, s.who) == account_status::active);
  CHECK(s.n.accounts().status_at(before, s.who) == account_status::deactivated);
  CHECK(expectation(s.who) == "equal");
}

TEST_CASE("an account that comes back after its deletion begins anew") {
  scene s;
  const std::uint64_t rev = s.who.repo.rev;
  CHECK(s.inject(fault::deleted) == std::vector<std::string>{"#account deleted"});
  CHECK_FALSE(s.n.accounts().status_at(s.n.accounts().pds_of(s.who), s.who));
  CHECK(repaired_expectation(s.who) == "gone");
  CHECK(s.inject(fault::recreated) == std::vector<std::string>{"#identity", "#account", "#commit", "#sync"});
  CHECK(s.who.repo.records.empty());
  CHECK(s.who.repo.rev > rev);
  CHECK(s.who.removed.size() == 5);
  CHECK(expectation(s.who) == "equal");
}

TEST_CASE("accounts go in three ways and return in one") {
  for (const auto& [kind, status] : {std::pair{fault::deactivated, account_status::deactivated},
                                     std::pair{fault::takendown, account_status::takendown},
                                     std::pair{fault::suspended, account_status::suspended}}) {
    scene s;
    CHECK(s.inject(kind) == std::vector<std::string>{"#account " + std::string(name(status))});
    CHECK(s.n.accounts().status_at(s.n.accounts().pds_of(s.who), s.who) == status);
    CHECK(repaired_expectation(s.who) == "inactive");
    CHECK(s.inject(fault::reactivated) == std::vector<std::string>{"#account", "#identity", "#sync"});
    CHECK(repaired_expectation(s.who) == "equal");
  }
}

TEST_CASE("a relay that calls an account deleted changes nothing at its host") {
  scene s;
  CHECK(s.inject(fault::false_deleted) == std::vector<std::string>{"#account deleted"});
  CHECK(s.n.accounts().status_at(s.n.accounts().pds_of(s.who), s.who) == account_status::active);
  CHECK(expectation(s.who) == "desynchronised");
  CHECK(repaired_expectation(s.who) == "equal");
}

TEST_CASE("an old copy of a repo is some commits old, and signed with the key of today") {
  scene s;
  REQUIRE(s.n.older(s.who) != nullptr);
  const cid then = s.who.repo.data;
  for (std::size_t i = 0; i < old_repos::commits; ++i) s.n.post(s.who);
  CHECK(s.n.older(s.who)->data == then);
  s.inject(fault::rotation);
  CHECK(s.n.older(s.who) == nullptr);
  s.n.post(s.who);
  CHECK(s.n.older(s.who) != nullptr);
}
