// repos.mode: with which event an account begins, and what a list changes in an account's state.
#include "accounts/event_rules.hpp"
#include "kv_verify_rig.hpp"
#include "repair/account_changes.hpp"

using namespace recordkv;
using namespace recordkv::test;
using stages::beginning;

namespace {

const std::string signal = "com.example.app.profile";

stages::account account_in(std::string status, bool complete = false, std::string filter = "f") {
  stages::account a;
  a.newest.did = alice;
  a.newest.status = std::move(status);
  a.newest.complete = complete;
  a.newest.filter = std::move(filter);
  return a;
}

}  // namespace

TEST_CASE("repos.mode list: no event begins an account, and those that are known go on") {
  kv_rig rig(stages::apply_rules{.begins = beginning::never});
  rig.states.stand(state_at(bob, 1));
  rig.start();
  rig.in.deliver({commit_frame{.n = 1}.bytes(), sync_frame(alice, 2), commit_frame{.did = bob, .n = 2}.bytes()});
  REQUIRE(rig.settles(3));
  CHECK(rig.ignored("not_listed") == 2);
  CHECK(rig.states.find(alice) == nullptr);
  CHECK(rig.states.find(bob)->rev == rev(2));
  CHECK(rig.states.find(bob)->status == "synchronised");
}

TEST_CASE("repos.mode signal: an account begins with a record of that collection, and is fetched") {
  kv_rig rig(stages::apply_rules{.collections = {like}, .begins = beginning::with_signal, .signal = signal});
  rig.start();
  rig.in.deliver({commit_frame{.n = 1}.bytes(), sync_frame(alice, 2),
                  commit_frame{.did = carol, .n = 2, .paths = {signal + "/self"}, .remove = true}.bytes(),
                  commit_frame{.did = bob, .n = 3, .paths = {signal + "/self"}}.bytes()});
  REQUIRE(rig.settles(4));
  CHECK(rig.ignored("not_listed") == 3);
  CHECK(rig.states.find(alice) == nullptr);
  CHECK(rig.states.find(carol) == nullptr);
  CHECK(rig.reasons(bob) == words{"listed"});
  CHECK(rig.states.find(bob)->followed);
  CHECK(rig.states.find(bob)->rev == rev(3));
  CHECK(rig.out.sent.empty());  // the signal collection is not stored
}

TEST_CASE("repos.mode all: an account begins with any commit, or with #sync, and is fetched") {
  verify_rig rig;
  rig.rules.collections = {like};
  rig.rules.begins = beginning::with_any;
  rig.start();
  rig.in.deliver({signed_frame{.paths = {post + "/p"}}.bytes(), signed_frame{.did = bob, .n = 2}.sync(),
                  signed_frame{.did = carol, .from_empty = true, .no_prev_data = true}.bytes()});
  REQUIRE(rig.settles(3));
  CHECK(rig.reasons(alice) == words{"listed"});
  CHECK(rig.reasons(bob) == words{"sync"});
  CHECK(rig.states.find(carol)->status == "synchronised");  // its first commit leads from the empty tree: nothing lacks
  for (const auto& did : {alice, bob, carol}) CHECK(rig.states.find(did)->followed);
}

TEST_CASE("repos.mode all: a forged beginning begins nothing") {
  verify_rig rig;
  rig.rules.begins = beginning::with_any;
  rig.start();
  rig.in.deliver({signed_frame{.signer = 'B'}.bytes(), signed_frame{.did = bob, .n = 2, .signer = 'B'}.sync()});
  REQUIRE(rig.settles(2));
  CHECK(rig.skipped("bad_signature") == 2);
  CHECK(rig.states.find(alice) == nullptr);
  CHECK(rig.states.find(bob) == nullptr);
}

TEST_CASE("a listed account is followed; it is fetched unless that was done under the same collections") {
  auto fresh = account_in("synchronised");
  CHECK(stages::follow_as_listed(fresh, "f", 7));
  CHECK(fresh.newest.followed);
  CHECK(fresh.newest.reasons == words{"listed"});
  CHECK_FALSE(stages::follow_as_listed(fresh, "f", 7));  // its fetch is due already

  auto fetched = account_in("synchronised", true);
  CHECK(stages::follow_as_listed(fetched, "f", 7));
  CHECK(fetched.newest.followed);
  CHECK(fetched.newest.status == "synchronised");
  CHECK_FALSE(stages::follow_as_listed(fetched, "f", 7));
  CHECK(stages::follow_as_listed(fetched, "wider", 7));
  CHECK(fetched.newest.reasons == words{"listed"});

  auto broken = account_in("desynchronised");
  broken.newest.reasons = {"gap"};
  CHECK(stages::follow_as_listed(broken, "f", 7));
  CHECK(broken.newest.reasons == words{"gap"});

  // Its return may have been missed, so its PDS is asked.
  auto inactive = account_in("inactive");
  inactive.newest.upstream_status = "deactivated";
  CHECK(stages::follow_as_listed(inactive, "f", 7));
  CHECK(inactive.newest.followed);
  CHECK(stages::is_unconfirmed(inactive.newest));
  auto deleted = account_in("deleted");
  CHECK(stages::follow_as_listed(deleted, "f", 7));
  CHECK(deleted.newest.status == "removing");
  CHECK(deleted.newest.removing_since == 7);
  CHECK_FALSE(stages::follow_as_listed(deleted, "f", 8));  // it is being asked
  auto removed = account_in("removed");
  CHECK_FALSE(stages::follow_as_listed(removed, "f", 7));
  CHECK_FALSE(removed.newest.followed);
}

TEST_CASE("a commit under other collections than those of the last fetch leaves the account incomplete") {
  kv_rig rig(stages::apply_rules{.filter = "wider"});
  auto s = state_at(alice, 1);
  s.complete = true;
  s.filter = "f";
  rig.states.stand(s);
  rig.start();
  rig.in.deliver(commit_frame{.n = 2}.bytes());
  REQUIRE(rig.settles(1));
  CHECK(rig.states.find(alice)->filter == "wider");
  CHECK_FALSE(rig.states.find(alice)->complete);  // so a list has it fetched
}

TEST_CASE("repos.mode list: what ingest had to leave out begins no account either") {
  kv_rig rig(stages::apply_rules{.begins = beginning::never});
  rig.start();
  rig.in.deliver({marker("oversize", alice), marker("unreadable", alice)});
  REQUIRE(rig.settles(2));
  CHECK(rig.ignored("not_listed") == 2);
  CHECK(rig.states.find(alice) == nullptr);
}
