// Repairs: which signatures of an export count, when the account's key has changed.
#include "repairs_rig.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;

TEST_CASE("a key that has changed is looked up before an export is refused") {
  repair_rig rig;
  rig.states.stand(rig.stored_state(alice, 1));
  auto repo = repo_of(alice, 6, {"b"});
  repo.signer = 2;
  rig.pds.repos[alice] = repo;
  rig.directory.says.insert_or_assign(alice, rig.identity_of(2));
  rig.start();
  rig.in.deliver({signed_frame{.n = 2, .paths = {like + "/a"}}.bytes(),
                  signed_frame{.n = 4, .paths = {like + "/c"}}.bytes()});  // does not continue from frame 2
  REQUIRE(rig.waits_for([&] { return rig.state(alice).resynced != 0; }));
  CHECK(rig.store(alice) == rig.cids(repo));
  CHECK(rig.state(alice).key == signing_number(2).multikey());
  CHECK(rig.finish());
}

namespace {

// The account has moved: the directory names key 1, and the new PDS still has the repo as the former key has signed it.
struct moved_rig : repair_rig {
  moved_rig() {
    repo.signer = 2;
    before.data = repo.data();
    before.desynchronise("account_active", "its former PDS has said that it is deactivated");
  }
  void begin() {
    pds.repos[alice] = repo;
    states.stand(before);
    start();
    settle_down(io);
    apply->consider_stored(alice, 0);
  }
  made_export repo = repo_of(alice, 4, {"a", "b"});
  kv::repo_state before = stored_state(alice, 4);
};

}  // namespace

TEST_CASE("a repo that the account's former key has signed counts if its commit is the one that was verified last") {
  moved_rig rig;
  rig.begin();
  REQUIRE(rig.becomes_status(alice, "synchronised"));
  CHECK(rig.state(alice).verified);
  CHECK(rig.state(alice).rev == rev(4));
  CHECK(rig.state(alice).tries == 0);
  CHECK(rig.store(alice) == rig.cids(rig.repo));  // also a record that was lost returns
  CHECK(rig.finish());
}

TEST_CASE("any other commit needs a signature of the account's present key") {
  moved_rig rig;
  SECTION("a newer one with the same tree") { rig.repo.rev = rev(5); }
  SECTION("an older one with the same tree") { rig.repo.rev = rev(3); }
  SECTION("another tree") { rig.before.data = repo_of(alice, 4, {"a"}).data(); }
  SECTION("one that was stored without verification") { rig.before.verified = false; }
  SECTION("nothing is known of the account's tree") { rig.before.data.clear(); }
  rig.begin();
  REQUIRE(rig.waits_for([&] { return rig.state(alice).tries == 1; }));
  CHECK(rig.counters.value("repairs", "bad_signature") == 1);
  CHECK(rig.store(alice).empty());
  CHECK(rig.finish());
}

TEST_CASE("an account that was deleted, or removed by a person, is not identified again") {
  const std::string status = GENERATE("deleted", "removed");
  CAPTURE(status);
  repair_rig rig;
  auto gone = rig.stored_state(alice, 4);
  gone.status = status;
  gone.key.clear();
  gone.pds.clear();
  gone.key_checked = 0;
  rig.states.stand(gone);
  rig.states.stand(rig.stored_state(bob, 4));
  rig.start();
  rig.in.deliver({identity_frame(alice), identity_frame(bob)});  // as a replay of the stream brings it
  REQUIRE(rig.settles(2));
  REQUIRE(rig.waits_for([&] { return !rig.state(bob).handle.empty(); }));
  CHECK(rig.state(alice).key.empty());
  CHECK(rig.state(alice).pds.empty());
  CHECK(rig.state(alice).handle.empty());
  CHECK(rig.state(alice).key_checked == 0);
  CHECK(rig.directory.times_asked(alice) == 0);
  CHECK(rig.directory.changed == words{alice, bob});
  CHECK(rig.finish());
}

TEST_CASE("an answer of the directory that comes after an account was deleted is not kept") {
  repair_rig rig;
  auto old = rig.stored_state(alice, 4);
  old.key_checked = rig.seconds() - 100'000;  // its key is renewed in the background
  rig.states.stand(old);
  rig.directory.keep_waiting(alice);
  rig.start();
  rig.in.deliver(signed_frame{.n = 5, .paths = {like + "/a"}}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.directory.under_way() == 1; }));
  REQUIRE(rig.settles(1));
  run_coroutine(rig.io, rig.apply->fulfil({.did = alice, .what = kv::wish_kind::remove}));
  REQUIRE(rig.waits_for([&] { return rig.state(alice).status == "removed" && rig.state(alice).reasons.empty(); }));
  rig.directory.answer(alice);
  REQUIRE(rig.waits_for([&] { return rig.directory.under_way() == 0; }));
  settle_down(rig.io);
  rig.in.deliver(signed_frame{.n = 6, .paths = {like + "/b"}}.bytes());
  rig.in.deliver(identity_frame(alice));
  REQUIRE(rig.settles(3));
  CHECK(rig.state(alice).pds.empty());
  CHECK(rig.state(alice).handle.empty());
  CHECK(rig.finish());
}
