// Repairs of accounts that have become inactive without an #account that would say so.
#include "repairs_rig.hpp"

#include <boost/asio/detached.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;

namespace {

// Two records of alice are in the store, and a commit is missing. Her PDS refuses her repo.
void begin(repair_rig& rig, std::string_view word) {
  rig.states.stand(rig.stored_state(alice, 1));
  rig.pds.next_failures.push_back(failure(errc::refused, word));
  rig.start();
  rig.in.deliver({signed_frame{.n = 2, .paths = {like + "/a"}}.bytes(),
                  signed_frame{.n = 3, .paths = {like + "/b"}}.bytes(),
                  signed_frame{.n = 5, .paths = {like + "/c"}}.bytes()});
  REQUIRE(rig.waits_for([&] { return rig.state(alice).tries == 1; }));
  CHECK(rig.store(alice).size() == 3);  // nothing goes on the word of one answer
}

void deliver_active(repair_rig& rig) {
  rig.in.headers = {{"source", "firehose.relay/2Eexample"}, {"seq", "10"}, {"epoch", "1"}};
  rig.in.deliver(account_frame(alice, true));
}

}  // namespace

TEST_CASE("an account whose PDS refuses its repo, because it is inactive, goes, and returns with #account") {
  const std::string status = GENERATE("deactivated", "suspended", "takendown", "inactive");
  CAPTURE(status);
  repair_rig rig;
  rig.pds.statuses[alice] = {.active = false, .status = status, .rev = {}};
  begin(rig, "repo_" + status);
  rig.later(62s);
  REQUIRE(rig.becomes_status(alice, "inactive"));
  CHECK(rig.state(alice).upstream_status == status);
  CHECK(rig.store(alice).empty());
  CHECK(rig.state(alice).tries == 0);

  rig.pds.statuses.clear();
  rig.pds.repos[alice] = repo_of(alice, 6, {"d"});
  deliver_active(rig);
  rig.later(62s);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("a PDS that refuses the repo of an account which it calls active changes nothing, and is asked ever less") {
  repair_rig rig;
  rig.pds.statuses[alice] = {};
  begin(rig, "repo_deactivated");
  rig.later(62s);
  rig.pds.next_failures.push_back(failure(errc::refused, "repo_deactivated"));
  rig.pds.next_failures.push_front(failure(errc::unreachable, "unreachable"));  // of getRepoStatus
  REQUIRE(rig.waits_for([&] { return rig.state(alice).tries >= 2; }));
  CHECK(rig.store(alice).size() == 3);
  CHECK(rig.state(alice).status == "desynchronised");
  rig.pds.next_failures.clear();
  rig.pds.repos[alice] = repo_of(alice, 6, {"d"});
  rig.later(200s);
  rig.later(200s);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.state(alice).upstream_status.empty());
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}

TEST_CASE("other refusals are no word about the account's status") {
  repair_rig rig;
  begin(rig, GENERATE("repo_deleted", "repo_not_found", "status"));
  CHECK(rig.state(alice).upstream_status.empty());
  rig.pds.repos[alice] = repo_of(alice, 6, {"d"});
  rig.later(62s);
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.finish());
}

TEST_CASE("X15: an account of which its host has known nothing for three days is confirmed as deleted, and goes") {
  repair_rig rig;
  begin(rig, "repo_not_found");
  rig.later(62s);
  REQUIRE(rig.waits_for([&] { return rig.state(alice).tries == 2; }));
  CHECK(rig.store(alice).size() == 3);
  CHECK(rig.state(alice).status == "desynchronised");
  SECTION("that lasts") {
    rig.later(73h);
    REQUIRE(rig.becomes_status(alice, "deleted"));
    CHECK(rig.store(alice).empty());
    CHECK(std::ranges::count(rig.pds.asked, "status " + alice) == 1);
  }
  SECTION("the host was only set back for a while") {
    rig.pds.repos[alice] = repo_of(alice, 6, {"d"});
    rig.later(73h);
    REQUIRE(rig.becomes_status(alice, "synchronised"));
    CHECK(rig.state(alice).removing_since == 0);
    CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  }
  CHECK(rig.finish());
}

TEST_CASE("an account that returned without an #account is asked about when a person or a list names it") {
  repair_rig rig;
  auto s = rig.stored_state(alice, 1);
  const bool deleted = GENERATE(true, false);
  s.status = deleted ? "deleted" : "inactive";
  s.upstream_status = deleted ? "deleted" : "deactivated";
  rig.states.stand(s);
  rig.pds.repos[alice] = repo_of(alice, 6, {"d"});
  rig.start();
  asio::co_spawn(rig.io, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::resync}), asio::detached);
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.state(alice).status == "synchronised");
  CHECK(rig.state(alice).upstream_status.empty());
  CHECK(rig.store(alice) == rig.cids(rig.pds.repos[alice]));
  CHECK(rig.finish());
}
