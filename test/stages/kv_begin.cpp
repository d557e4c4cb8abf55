// repos.mode: with which event an account begins, and what a list changes in an account's state.
#include "account_changes.hpp"
#include "kv_verify_rig.hpp"

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
  CHECK(stages::follow_as_listed(fresh, "f"));
  CHECK(fresh.newest.followed);
  CHECK(fresh.newest.reasons == words{"listed"});
  CHECK_FALSE(stages::follow_as_listed(fresh, "f"));  // its fetch is due already

  auto fetched = account_in("synchronised", true);
  CHECK(stages::follow_as_listed(fetched, "f"));
  CHECK(fetched.newest.followed);
  CHECK(fetched.newest.status == "synchronised");
  CHECK_FALSE(stages::follow_as_listed(fetched, "f"));
  CHECK(stages::follow_as_listed(fetched, "wider"));
  CHECK(fetched.newest.reasons == words{"listed"});

  auto broken = account_in("desynchronised");
  broken.newest.reasons = {"gap"};
  CHECK(stages::follow_as_listed(broken, "f"));
  CHECK(broken.newest.reasons == words{"gap"});

  for (const char* away : {"inactive", "removing", "deleted"}) {
    auto gone = account_in(away);
    CHECK(stages::follow_as_listed(gone, "f"));
    CHECK(gone.newest.followed);  // should it return, it is fetched
    CHECK(gone.newest.status == away);
  }
  auto removed = account_in("removed");
  CHECK_FALSE(stages::follow_as_listed(removed, "f"));
  CHECK_FALSE(removed.newest.followed);
}
