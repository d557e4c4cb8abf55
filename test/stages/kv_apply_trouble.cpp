// The applier while bucket `repo` or the store fail, when it is told to stop, and how much it holds.
#include "kv_apply_rig.hpp"

using namespace recordkv;
using namespace recordkv::test;

TEST_CASE("while states can't be written nothing is acknowledged, and afterwards all of it is") {
  kv_rig rig;
  rig.states.fail_saves(2);
  rig.start();
  rig.in.deliver(commit_frame{.n = 1}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.states.saves_begun == 2; }));
  CHECK(rig.in.settled.empty());
  CHECK(rig.logged("2 kv: writing account states: no answer; 1 failed attempt since the last line"));
  CHECK(rig.apply->unsettled() == 1);
  CHECK(rig.apply->oldest().has_value());  // its put is durable, its state is not
  REQUIRE(rig.settles(1));
  REQUIRE(rig.waits_for([&] { return !rig.apply->oldest(); }));
  CHECK(rig.states.saves_begun == 3);
  CHECK(rig.revs_written() == words{rev(1)});
}

TEST_CASE("while states can't be read nothing is applied") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  rig.states.fail_loads(1);
  rig.start();
  rig.in.deliver(commit_frame{.n = 1}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.logged("reading account states: no answer; 1 failed attempt"); }));
  CHECK(rig.out.sent.empty());
  REQUIRE(rig.settles(1));
  CHECK(rig.ignored("older") == 1);
  CHECK(rig.out.sent.empty());
}

TEST_CASE("a state that another process wrote ends the work; nothing of it is acknowledged") {
  kv_rig rig;
  rig.states.stand(state_at(alice, 1));
  rig.start();
  rig.in.deliver(commit_frame{.n = 2}.bytes());
  REQUIRE(rig.settles(1));
  rig.states.overwrite(alice);
  rig.in.deliver(commit_frame{.n = 3}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.settled.has_value(); }));
  REQUIRE(rig.settled->has_error());
  CHECK(rig.settled->error().code == errc::lease_lost);
  CHECK(rig.in.settled == numbers{1});
  rig.in.close();  // as the stage does
  CHECK(rig.waits_for([&] { return rig.took.has_value(); }));
}

TEST_CASE("lease_lost also ends a take() that waits for room") {
  kv_rig rig({.unsettled_events = 1});
  rig.states.stand(state_at(alice, 1));
  rig.out.cork();
  rig.start();
  rig.in.deliver(commit_frame{.n = 2}.bytes());
  rig.in.deliver(commit_frame{.n = 3}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 1; }));
  settle_down(rig.io);
  rig.states.hold();
  rig.out.let(1);
  REQUIRE(rig.waits_for([&] { return rig.states.saves_begun == 1; }));
  rig.states.overwrite(alice);
  rig.states.release();
  REQUIRE(rig.waits_for([&] { return rig.settled.has_value(); }));
  rig.in.close();
  CHECK(becomes(rig.io, [&] { return rig.took.has_value(); }, 2s));
}

TEST_CASE("closing the inbox lets what was taken settle before the work ends") {
  kv_rig rig;
  rig.out.cork();
  rig.start();
  for (unsigned n = 1; n <= 3; ++n) rig.in.deliver(commit_frame{.n = n}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 3; }));
  rig.in.close();
  REQUIRE(rig.waits_for([&] { return rig.took.has_value(); }));
  CHECK(rig.took->error().code == errc::closed);
  settle_down(rig.io);
  CHECK_FALSE(rig.settled.has_value());
  rig.out.uncork();
  REQUIRE(rig.waits_for([&] { return rig.settled.has_value(); }));
  CHECK_FALSE(rig.settled->has_error());
  CHECK(rig.in.settled == numbers{1, 2, 3});
  CHECK(rig.states.find(alice)->rev == rev(3));
}

TEST_CASE("abandoned, it ends at once and acknowledges nothing that is not durable") {
  kv_rig rig;
  rig.out.cork();
  rig.start();
  rig.in.deliver(commit_frame{.n = 1}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 1; }));
  rig.apply->abandon();
  REQUIRE(rig.finish());
  CHECK(rig.in.settled.empty());
  CHECK(rig.states.written.empty());
}

TEST_CASE("a store that has closed ends take() with its word") {
  kv_rig rig;
  rig.out.close();
  rig.start();
  rig.in.deliver(commit_frame{.n = 1}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.took.has_value(); }));
  CHECK(rig.took->error().code == errc::closed);
}

TEST_CASE("no more is taken than may stand unsettled") {
  kv_rig rig({.unsettled_events = 3});
  rig.out.cork();
  rig.start();
  for (unsigned n = 1; n <= 10; ++n) rig.in.deliver(commit_frame{.n = n}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.apply->unsettled() == 3; }));
  settle_down(rig.io);
  CHECK(rig.in.taken == 3);
  rig.out.let(1);
  REQUIRE(rig.waits_for([&] { return rig.in.taken == 4; }));
  settle_down(rig.io);
  CHECK(rig.in.taken == 4);
  rig.out.uncork();
  REQUIRE(rig.settles(10));
}

TEST_CASE("a full window suspends the taking, not the settling") {
  kv_rig rig({}, {.count = 2});
  rig.out.cork();
  rig.start();
  rig.in.deliver(commit_frame{.n = 1, .paths = {like + "/a", like + "/b", like + "/c", like + "/d"}}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.out.sent.size() == 2; }));
  settle_down(rig.io);
  CHECK(rig.out.sent.size() == 2);
  rig.out.let(1);
  REQUIRE(rig.waits_for([&] { return rig.out.sent.size() == 3; }));
  rig.out.uncork();
  REQUIRE(rig.settles(1));
  CHECK(rig.out.sent.size() == 4);
}
