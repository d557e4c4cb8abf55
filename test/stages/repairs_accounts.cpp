// Accounts that go and return, and what persons want of accounts.
#include "repairs_rig.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;

namespace {

/// Two records of alice are in the store.
void begin(repair_rig& rig) {
  rig.states.stand(rig.stored_state(alice, 1));
  rig.pds.repos[alice] = repo_of(alice, 3, {"a", "b"});
  rig.start();
  rig.in.deliver(
      {signed_frame{.n = 2, .paths = {like + "/a"}}.bytes(), signed_frame{.n = 3, .paths = {like + "/b"}}.bytes()});
  REQUIRE(rig.settles(2));
  REQUIRE(rig.store(alice).size() == 2);
}

/// #account, with its number as ingest passes it on.
void deliver_account(repair_rig& rig, std::uint64_t seq, bool active, std::string_view status = "") {
  rig.in.headers = {{"source", "firehose.relay/2Eexample"}, {"seq", std::to_string(seq)}, {"epoch", "1"}};
  rig.in.deliver(account_frame(alice, active, status));
}

template <class Work>
bool done(repair_rig& rig, Work work) {
  auto r = run_coroutine(rig.io, std::move(work));
  return r && r->has_value();
}

}  // namespace

TEST_CASE("deleted: every key of the account goes, one marker each, once its PDS does not know it") {
  repair_rig rig;
  begin(rig);
  rig.pds.repos.erase(alice);
  deliver_account(rig, 10, false, "deleted");
  REQUIRE(rig.becomes_status(alice, "deleted"));
  CHECK(rig.store(alice).empty());
  CHECK(rig.state(alice).rev == rev(3));
  CHECK(rig.state(alice).pds.empty());
  rig.in.deliver(signed_frame{.n = 4, .paths = {like + "/late"}}.bytes());
  REQUIRE(rig.settles(4));
  CHECK(rig.store(alice).empty());

  SECTION("and is created again") {
    rig.pds.repos[alice] = repo_of(alice, 8, {"new"});
    deliver_account(rig, 11, true);
    REQUIRE(rig.becomes_status(alice, "synchronised"));
    CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  }
  CHECK(rig.finish());
}

TEST_CASE("a deletion that the account's PDS denies is cancelled, and the account fetched") {
  repair_rig rig;
  begin(rig);
  rig.pds.repos[alice] = repo_of(alice, 4, {"a", "b", "c"});
  rig.pds.hold();
  deliver_account(rig, 10, false, "deleted");
  REQUIRE(rig.becomes_status(alice, "removing"));
  rig.in.deliver(signed_frame{.n = 4, .paths = {like + "/c"}}.bytes());
  REQUIRE(rig.settles(4));
  CHECK(rig.store(alice).size() == 2);  // not applied while the PDS is asked
  rig.pds.release();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.state(alice).status == "synchronised");
  CHECK(rig.state(alice).upstream_status.empty());
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("X15: without an answer nothing goes for 72 hours, and everything after them") {
  repair_rig rig;
  rig.repair.rules.patience = std::chrono::hours(72);
  begin(rig);
  rig.pds.repos.erase(alice);
  const auto away = failure(errc::unreachable, "unreachable");
  rig.pds.next_failures = {away, away};
  deliver_account(rig, 10, false, "deleted");
  REQUIRE(rig.waits_for([&] { return rig.state(alice).tries == 1; }));
  CHECK(rig.state(alice).status == "removing");
  CHECK(rig.store(alice).size() == 2);
  rig.later(std::chrono::hours(73));
  REQUIRE(rig.becomes_status(alice, "deleted"));
  CHECK(rig.store(alice).empty());
  CHECK(rig.finish());
}

TEST_CASE("deactivated: the keys go and return, or stay") {
  repair_rig rig;
  const bool keep = GENERATE(false, true);
  rig.repair.rules.remove_inactive = !keep;
  begin(rig);
  rig.pds.statuses[alice] = {.active = false, .status = "deactivated", .rev = {}};
  deliver_account(rig, 10, false, "deactivated");
  REQUIRE(rig.becomes_status(alice, "inactive"));
  CHECK(rig.state(alice).upstream_status == "deactivated");
  CHECK(rig.store(alice).size() == (keep ? 2U : 0U));
  rig.in.deliver(signed_frame{.n = 4, .paths = {like + "/c"}}.bytes());
  REQUIRE(rig.settles(4));
  CHECK_FALSE(rig.store(alice).contains(like + "/c"));

  rig.pds.statuses.clear();
  rig.pds.repos[alice] = repo_of(alice, 5, {"b", "c"});
  deliver_account(rig, 11, true);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("X11: a former PDS is not believed, because the present one is asked") {
  repair_rig rig;
  begin(rig);
  rig.pds.repos[alice] = repo_of(alice, 4, {"a", "b"});  // active at the present PDS
  deliver_account(rig, 10, false, "deactivated");
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.state(alice).status == "synchronised");
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.directory.times_asked(alice) >= 1);  // a fresh DID document
  CHECK(rig.finish());
}

TEST_CASE("X11: an #account at or below the number of the last one is a repetition") {
  repair_rig rig;
  begin(rig);
  rig.pds.statuses[alice] = {.active = false, .status = "takendown", .rev = {}};
  deliver_account(rig, 10, false, "takendown");
  REQUIRE(rig.becomes_status(alice, "inactive"));
  deliver_account(rig, 9, true);
  deliver_account(rig, 10, true);
  REQUIRE(rig.settles(5));
  CHECK(rig.state(alice).status == "inactive");
  CHECK(rig.ignored("older") == 2);
  CHECK(rig.finish());
}

TEST_CASE("a state knows across a restart that #account is not confirmed yet") {
  repair_rig rig;
  auto s = rig.stored_state(alice, 3);
  s.upstream_status = "suspended";
  rig.states.stand(s);
  rig.pds.statuses[alice] = {.active = false, .status = "suspended", .rev = {}};
  rig.start();
  settle_down(rig.io);
  rig.apply->consider_stored(alice, 0);
  REQUIRE(rig.becomes_status(alice, "inactive"));
  CHECK(rig.finish());
}

TEST_CASE("a tombstone confirms a deletion") {
  repair_rig rig;
  begin(rig);
  rig.directory.says.insert_or_assign(alice, fail(errc::not_found, "410"));
  deliver_account(rig, 10, false, "deleted");
  REQUIRE(rig.becomes_status(alice, "deleted"));
  CHECK(rig.store(alice).empty());
  CHECK(rig.finish());
}

TEST_CASE("an account that was desynchronised already is confirmed inactive, too") {
  repair_rig rig;
  auto s = rig.stored_state(alice, 3);
  s.desynchronise("gap", "");
  s.upstream_status = "deactivated";
  rig.states.stand(s);
  rig.pds.statuses[alice] = {.active = false, .status = "deactivated", .rev = {}};
  rig.start();
  settle_down(rig.io);
  rig.apply->consider_stored(alice, 0);
  REQUIRE(rig.becomes_status(alice, "inactive"));
  CHECK(rig.pds.asked == words{"status " + alice});
  CHECK(rig.finish());
}

TEST_CASE("an account that returns while its keys are being removed is fetched") {
  repair_rig rig;
  begin(rig);
  rig.pds.statuses[alice] = {.active = false, .status = "deactivated", .rev = {}};
  rig.pds.hold();
  deliver_account(rig, 10, false, "deactivated");
  REQUIRE(rig.waits_for([&] { return !rig.pds.asked.empty(); }));
  rig.out.cork();  // the removal waits for this commit's put
  deliver_account(rig, 11, true);
  rig.pds.repos[alice] = repo_of(alice, 5, {"c"});
  rig.pds.release();
  settle_down(rig.io);
  rig.out.uncork();
  rig.pds.statuses.clear();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("an account that is active although its state says otherwise returns with the next #account") {
  repair_rig rig;
  auto s = rig.stored_state(alice, 3);
  s.status = "inactive";  // and no upstream status
  rig.states.stand(s);
  rig.pds.repos[alice] = repo_of(alice, 5, {"c"});
  rig.start();
  deliver_account(rig, 11, true);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("X14: #account that goes to and fro makes the PDS be asked once a minute") {
  repair_rig rig;
  begin(rig);
  rig.pds.repos[alice] = repo_of(alice, 4, {"a"});
  for (std::uint64_t n = 10; n < 20; ++n) {
    deliver_account(rig, n, n % 2 == 1, n % 2 == 1 ? "" : "deactivated");
    REQUIRE(rig.settles(2 + n - 9));
    settle_down(rig.io);
  }
  CHECK(rig.pds.asked.size() <= 2);
  CHECK(rig.finish());
}

// --- wishes ---

TEST_CASE("add: an account that is not known is fetched, and followed from then on") {
  repair_rig rig;
  rig.repair.rules.every_account = false;
  rig.pds.repos[carol] = repo_of(carol, 3, {"a", "b"});
  rig.start();
  settle_down(rig.io);
  REQUIRE(done(rig, rig.apply->fulfil({.did = carol, .what = kv::wish_kind::add})));
  CHECK(rig.state(carol).followed);  // durable when the wish is fulfilled
  REQUIRE(rig.becomes_status(carol, "synchronised"));
  CHECK(rig.store(carol) == rig.cids(rig.pds.repos[carol]));
  CHECK(rig.state(carol).complete);
  CHECK(rig.finish());
}

TEST_CASE("remove: the keys go, and events are ignored until the account is added again") {
  repair_rig rig;
  begin(rig);
  REQUIRE(done(rig, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::remove})));
  REQUIRE(rig.waits_for([&] { return rig.store(alice).empty() && rig.state(alice).reasons.empty(); }));
  CHECK(rig.state(alice).status == "removed");
  rig.in.deliver(signed_frame{.n = 4, .paths = {like + "/c"}}.bytes());
  deliver_account(rig, 12, true);  // upstream does not lift it
  REQUIRE(rig.settles(4));
  CHECK(rig.store(alice).empty());
  CHECK(rig.state(alice).status == "removed");

  rig.pds.repos[alice] = repo_of(alice, 5, {"c"});
  REQUIRE(done(rig, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::add})));
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("an account that is added while it is being removed stays") {
  repair_rig rig;
  begin(rig);
  rig.pds.repos[alice] = repo_of(alice, 5, {"c"});
  rig.key_gate.emplace();  // the removal waits before it reads the keys
  REQUIRE(done(rig, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::remove})));
  REQUIRE(rig.waits_for([&] { return rig.key_reads == 1; }));
  REQUIRE(done(rig, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::add})));
  rig.open_keys();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.state(alice).status == "synchronised");
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("an account that is removed while its repo is compared goes") {
  repair_rig rig;
  begin(rig);
  rig.pds.repos[alice] = repo_of(alice, 5, {"c", "d"});
  rig.key_gate.emplace();
  REQUIRE(done(rig, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::resync})));
  REQUIRE(rig.waits_for([&] { return rig.key_reads == 1; }));
  REQUIRE(done(rig, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::remove})));
  rig.open_keys();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).status == "removed" && rig.state(alice).reasons.empty(); }));
  CHECK(rig.store(alice).empty());
  CHECK(rig.finish());
}

TEST_CASE("resync: the repo is fetched at once, and what is wrong in the store becomes right") {
  repair_rig rig;
  begin(rig);
  rig.pds.repos[alice] = repo_of(alice, 4, {"b"});
  REQUIRE(done(rig, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::resync})));
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}
