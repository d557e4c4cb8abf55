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
  CHECK(o.meet("did:a") == outage_mode::ok);
  CHECK(set({{"mode", "429"}, {"did", "did:a"}, {"count", "2"}}));
  CHECK(o.meet("did:b") == outage_mode::ok);
  CHECK(o.meet("did:a") == outage_mode::too_many);
  CHECK(o.meet("did:a") == outage_mode::too_many);
  CHECK(o.meet("did:a") == outage_mode::ok);
  CHECK(set({{"mode", "down"}}));
  CHECK(o.meet("did:b") == outage_mode::down);
  CHECK(set({{"mode", "ok"}}));
  CHECK(o.meet("did:b") == outage_mode::ok);
  CHECK_FALSE(set({{"mode", "sometimes"}}));
  CHECK_FALSE(set({{"mode", "slow"}, {"ms", "long"}}));
  REQUIRE(noted.size() == 3);
  CHECK(noted[0].kind == "plc_429");
  CHECK(noted[2].kind == "plc_down");
  CHECK(noted[2].did == "did:b");
  CHECK(o.instead(outage_mode::down)->drop);
  CHECK(o.instead(outage_mode::gone)->status == 410);
  CHECK_FALSE(o.instead(outage_mode::slow));
  CHECK(o.delay(outage_mode::slow) == std::chrono::seconds(1));
}
