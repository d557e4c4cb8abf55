// Rule X9 on fakes, and the order puts -> states -> acknowledgement it serves.
#include "kv_apply_rig.hpp"

using namespace recordkv;
using namespace recordkv::test;

TEST_CASE("X9: the state that is written is that of the last commit below the floor, never the newest") {
  kv_rig rig;
  rig.out.cork();
  rig.start();
  for (unsigned n = 1; n <= 4; ++n) rig.in.deliver(commit_frame{.n = n}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 4; }));
  settle_down(rig.io);
  CHECK(rig.states.written.empty());
  rig.out.let(2);
  REQUIRE(rig.settles(2));
  CHECK(rig.revs_written() == words{rev(2)});
  CHECK(rig.states.find(alice)->data == root(2));
  CHECK(rig.in.settled == numbers{1, 2});
  rig.out.uncork();
  REQUIRE(rig.settles(4));
  CHECK(rig.revs_written() == words{rev(2), rev(4)});
}

TEST_CASE("X9: a state is written only when every put of its commit is durable") {
  kv_rig rig;
  rig.out.cork();
  rig.start();
  rig.in.deliver(commit_frame{.n = 1, .paths = {like + "/a", like + "/b", post + "/c"}}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.out.sent.size() == 3; }));
  rig.out.let(2);
  settle_down(rig.io);
  CHECK(rig.states.written.empty());
  rig.out.let(1);
  REQUIRE(rig.settles(1));
  CHECK(rig.revs_written() == words{rev(1)});
  CHECK(rig.states.written[0].collections == words{like, post});
  CHECK(rig.states.written[0].at == 3);
}

TEST_CASE("X9: puts come first, then the state, then the acknowledgement") {
  kv_rig rig;
  rig.out.cork();
  rig.start();
  rig.in.deliver({commit_frame{.n = 1}.bytes(), commit_frame{.did = bob, .n = 3}.bytes()});
  REQUIRE(rig.waits_for([&] { return rig.out.sent.size() == 2; }));
  rig.states.hold();
  rig.out.uncork();
  REQUIRE(rig.waits_for([&] { return rig.states.saves_begun == 1; }));
  settle_down(rig.io);
  CHECK(rig.in.settled.empty());
  rig.states.release();
  REQUIRE(rig.settles(2));
  CHECK(rig.happened == journal{"put " + key_of(alice, like, "a"), "put " + key_of(bob, like, "a"), "durable 0",
                                "durable 1", "state " + alice + " " + rev(1), "state " + bob + " " + rev(3), "ack 1",
                                "ack 2"});
}

TEST_CASE("X9: a state that is not yet written is not evicted") {
  kv_rig rig({.cached_accounts = 1});
  rig.start();
  SECTION("while its puts are in flight") {
    rig.out.cork();
    rig.in.deliver(commit_frame{.n = 1}.bytes());
  }
  SECTION("while its write is under way") {
    rig.states.hold();
    rig.in.deliver(commit_frame{.n = 1}.bytes());
    REQUIRE(rig.waits_for([&] { return rig.states.saves_begun == 1; }));
  }
  rig.in.deliver(commit_frame{.did = bob}.bytes());
  rig.in.deliver(commit_frame{.did = carol}.bytes());
  rig.in.deliver(commit_frame{.n = 1}.bytes());  // known from memory only
  REQUIRE(rig.waits_for([&] { return rig.in.taken == 4; }));
  settle_down(rig.io);
  CHECK(rig.ignored("older") == 1);
  CHECK(std::ranges::count(rig.states.loaded, alice) == 1);
  rig.out.uncork();
  rig.states.release();
  REQUIRE(rig.settles(4));
  std::ranges::sort(rig.in.settled);  // alice's events need not wait for the states of the others
  CHECK(rig.in.settled == numbers{1, 2, 3, 4});
  CHECK(rig.out.sent.size() == 3);
}

TEST_CASE("X9: an evicted account is read back and goes on from there") {
  kv_rig rig({.cached_accounts = 1});
  rig.start();
  for (unsigned round = 1; round <= 3; ++round) {
    rig.in.deliver(commit_frame{.n = round}.bytes());
    REQUIRE(rig.settles(2 * round - 1));
    rig.in.deliver(commit_frame{.did = bob, .n = round}.bytes());
    REQUIRE(rig.settles(2 * round));
  }
  CHECK(std::ranges::count(rig.states.loaded, alice) == 3);
  CHECK(rig.apply->desynchronised() == 0);
  CHECK(rig.states.find(alice)->rev == rev(3));
  CHECK(rig.states.find(bob)->rev == rev(3));
}

TEST_CASE("X9: a read never overwrites what is in memory") {
  kv_rig rig;
  rig.out.cork();
  rig.start();
  rig.in.deliver(commit_frame{.n = 2}.bytes());  // known in memory, not yet in the bucket
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 1; }));
  rig.in.deliver({commit_frame{.did = bob}.bytes(), commit_frame{.n = 2}.bytes(), commit_frame{.n = 3}.bytes()});
  REQUIRE(rig.waits_for([&] { return rig.out.sent.size() == 3; }));
  CHECK(rig.ignored("older") == 1);
  CHECK(rig.apply->desynchronised() == 0);
  CHECK(std::ranges::count(rig.states.loaded, alice) == 1);
  rig.out.uncork();
  REQUIRE(rig.settles(4));
  CHECK(rig.states.find(alice)->rev == rev(3));
}

TEST_CASE("each account's records are put in the order of its commits") {
  kv_rig rig;
  std::vector<std::string> batch;
  for (unsigned n = 1; n <= 20; ++n)
    for (const auto& did : {alice, bob, carol}) batch.push_back(event_of(did, n, "same"));
  rig.in.deliver(std::move(batch));
  rig.start();
  REQUIRE(rig.settles(60));
  for (const auto& did : {alice, bob, carol}) {
    words seen, wanted;
    for (const auto& m : rig.out.sent)
      if (m.subject == key_of(did, like, "same")) seen.push_back(m.payload);
    for (unsigned n = 1; n <= 20; ++n) wanted.push_back(fmt::format(R"({{"n":{}}})", n));
    CHECK(seen == wanted);
  }
}
