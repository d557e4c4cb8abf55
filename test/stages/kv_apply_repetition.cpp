// Rule X8 on fakes: what was applied before is not applied again, and takes its turn all the same.
#include "kv_apply_rig.hpp"

using namespace recordkv;
using namespace recordkv::test;

TEST_CASE("X8: a firehose commit at or below the stored rev is skipped") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 5));
  rig.in.deliver({commit_frame{.n = 4}.bytes(), commit_frame{.n = 5}.bytes(), commit_frame{.n = 6}.bytes()});
  rig.start();
  REQUIRE(rig.settles(3));
  CHECK(rig.out.lines() == words{key_of(alice, like, "a") + R"(={"n":6})"});
  CHECK(rig.ignored("older") == 2);
  CHECK(rig.in.settled == numbers{1, 2, 3});
  REQUIRE(rig.states.find(alice));
  CHECK(rig.states.find(alice)->rev == rev(6));
}

TEST_CASE("X8: of Jetstream events, several of which make up one commit, only those of an older rev are skipped") {
  kv_rig rig;
  auto stored = state_at(alice, 5);
  stored.data.clear();
  rig.states.stand(stored);
  rig.in.deliver({event_of(alice, 4, "older"), event_of(alice, 5, "b"), event_of(alice, 5, "c"),
                  event_of(alice, 6, "d"), event_of(alice, 6, "e"), event_of(alice, 5, "late")});
  rig.start();
  REQUIRE(rig.settles(6));
  CHECK(rig.out.lines() == words{key_of(alice, like, "b") + R"(={"n":5})", key_of(alice, like, "c") + R"(={"n":5})",
                                 key_of(alice, like, "d") + R"(={"n":6})", key_of(alice, like, "e") + R"(={"n":6})"});
  CHECK(rig.ignored("older") == 2);
}

TEST_CASE("X8: a skipped event takes its turn and settles behind what came before it") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 5));
  rig.start();
  rig.in.deliver(commit_frame{.n = 6}.bytes());
  REQUIRE(rig.settles(1));
  rig.out.cork();
  rig.in.deliver(commit_frame{.n = 7}.bytes());
  rig.in.deliver(commit_frame{.n = 6}.bytes());  // a repetition
  rig.in.deliver(R"({"kind":"identity","time_us":1,"did":")" + alice + R"(","identity":{}})");
  rig.in.deliver("not an event");
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 4; }));
  settle_down(rig.io);
  CHECK(rig.in.settled == numbers{1});
  rig.out.uncork();
  REQUIRE(rig.settles(5));
  CHECK(rig.in.settled == numbers{1, 2, 3, 4, 5});
  CHECK(rig.ignored("older") == 1);
  CHECK(rig.ignored("identity") == 1);
}

TEST_CASE("X8: a repetition within one run is known from memory, not from what is stored") {
  kv_rig rig;
  rig.out.cork();
  rig.start();
  rig.in.deliver({commit_frame{.n = 1}.bytes(), commit_frame{.n = 2}.bytes(), commit_frame{.n = 1}.bytes()});
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 3; }));
  rig.out.uncork();
  REQUIRE(rig.settles(3));
  CHECK(rig.out.sent.size() == 2);
  CHECK(rig.ignored("older") == 1);
}

TEST_CASE("X8: a #sync at or below the stored rev changes nothing, a newer one marks the account") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 5));
  rig.start();
  rig.in.deliver({sync_frame(alice, 4), sync_frame(alice, 5)});
  REQUIRE(rig.settles(2));
  CHECK(rig.ignored("older") == 2);
  CHECK(rig.states.written.empty());
  rig.in.deliver(sync_frame(alice, 6));
  REQUIRE(rig.settles(3));
  CHECK(rig.counters.value("stream_events", "sync") == 3);
  REQUIRE(rig.states.written.size() == 1);
  CHECK(rig.states.written[0].stale());
  CHECK(rig.states.written[0].rev == rev(5));
}
