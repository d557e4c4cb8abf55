// What a publisher decides where each message names the sequence that it expects before itself (X1, X3).
#include "publish_rig.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view fence = "Nats-Expected-Last-Sequence";
const nats::publish_rules fenced{.fenced = true, .answer_limit = 1s};

}  // namespace

TEST_CASE("X1: each message names the sequence before itself, from the base on") {
  plan_rig rig(fenced, stream_of(7));
  rig.put_counted(3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(rig.sent[i].header(fence) == std::to_string(7 + i));
    CHECK(rig.plan.sequence_of(i) == 8 + i);
  }
  for (std::size_t i = 0; i < 3; ++i) rig.ack(i, 8 + i);
  rig.plan.attach(stream_of(20), rig.link);
  rig.put("s", "x");
  CHECK(rig.sent[3].header(fence) == "20");
  CHECK(rig.plan.sequence_of(3) == 21);
}

TEST_CASE(
    "X1: a refusal refuses all behind it; their conflicts are no reason of their own, and all answers are awaited") {
  auto at = stream_of(0);
  at.max_msgs = 1;
  plan_rig rig(fenced, at);
  rig.put_counted(4);
  rig.ack(0, 1);
  rig.refuse(1, errc::full, "full");
  CHECK_FALSE(rig.should_ask());
  rig.refuse(2, errc::conflict, "wrong last sequence");
  CHECK_FALSE(rig.should_ask());
  rig.refuse(3, errc::conflict, "wrong last sequence");
  CHECK(rig.should_ask());
  CHECK(rig.plan.last_error() == "full");
  CHECK(rig.plan.stall_reason(true, cause::buffer_full) == cause::buffer_full);
  REQUIRE(rig.ask(stream_of(1)));
  CHECK(rig.data(4) == words{"1"});
  CHECK(rig.sent[4].header(fence) == "1");  // the same place as before
  rig.ack(4, 2);
  CHECK(rig.data(4) == words{"1", "2", "3"});
  CHECK(rig.sent[6].header(fence) == "3");
  CHECK(rig.plan.halted() == nats::halt::none);
}

TEST_CASE("X1: answers that never come are awaited no longer than the limit") {
  plan_rig rig(fenced);
  rig.put_counted(2);
  rig.refuse(0, errc::refused);
  rig.later(999ms);
  CHECK_FALSE(rig.should_ask());
  rig.later(1ms);
  CHECK(rig.should_ask());
}

TEST_CASE("X1: what the stream holds already is not sent again") {
  plan_rig rig(fenced, stream_of(3));
  rig.put_counted(5);
  rig.link.connects = 2;  // the answers are lost with the connection
  rig.later(1ms);
  REQUIRE(rig.ask(stream_of(6)));
  CHECK(rig.plan.floor() == 3);
  CHECK(rig.plan.stored() == 6);
  CHECK(rig.data(5) == words{"3"});
  CHECK(rig.sent[5].header(fence) == "6");
}

TEST_CASE("X1: an acknowledgement that comes after a refusal still counts") {
  plan_rig rig(fenced);
  rig.put_counted(3);
  rig.refuse(2, errc::refused);
  rig.ack(0, 1);
  rig.ack(1, 2);
  CHECK(rig.plan.floor() == 2);
  REQUIRE(rig.ask(stream_of(2)));
  CHECK(rig.data(3) == words{"2"});
}

TEST_CASE("X1: another writer halts the plan") {
  plan_rig rig(fenced, stream_of(0));
  rig.put_counted(3);
  SECTION("when it wrote more than we have sent") {
    rig.later(1001ms);
    CHECK_FALSE(rig.ask(stream_of(4)));
  }
  SECTION("when the first of ours is refused as out of order, sent once, with all before it stored") {
    rig.ack(0, 1);
    rig.refuse(1, errc::conflict);
    rig.refuse(2, errc::conflict);
    CHECK_FALSE(rig.ask(stream_of(2)));
  }
  CHECK(rig.plan.halted() == nats::halt::foreign);
  const auto floor = rig.plan.floor();
  rig.ack(floor, floor + 1);
  rig.later(1h);
  CHECK(rig.plan.floor() == floor);  // what it is worth now its owner decides
  CHECK(rig.sent.size() == 3);
  CHECK_FALSE(rig.should_ask());
}

TEST_CASE("X1: as much in the stream as we have sent is ours") {
  plan_rig rig(fenced);
  rig.put_counted(3);
  rig.later(1001ms);
  REQUIRE(rig.ask(stream_of(3)));
  CHECK(rig.plan.halted() == nats::halt::none);
  CHECK(rig.plan.floor() == 3);
  CHECK(rig.sent.size() == 3);
}

TEST_CASE("X1: a resend that is out of order because the first sending arrived late is no other writer") {
  plan_rig rig(fenced);
  rig.put_counted(2);
  rig.later(1001ms);
  REQUIRE(rig.ask(stream_of(0)));
  rig.refuse(2, errc::conflict);  // the first sending has been stored meanwhile
  REQUIRE(rig.ask(stream_of(2)));
  CHECK(rig.plan.halted() == nats::halt::none);
  CHECK(rig.plan.floor() == 2);
}

TEST_CASE("X1: a probe that the stream turns out to hold does not hold up what comes next") {
  plan_rig rig(fenced);
  rig.put_counted(1);
  rig.later(1001ms);
  REQUIRE(rig.ask(stream_of(0)));
  rig.later(1001ms);
  REQUIRE(rig.ask(stream_of(1)));
  CHECK(rig.plan.in_flight() == 0);
  rig.put("s", "next");
  CHECK(rig.data(2) == words{"next"});
}

TEST_CASE("X1: a refusal by which another writer shows itself counts, also while the stream is being asked") {
  plan_rig rig(fenced);
  rig.put_counted(2);
  rig.later(1001ms);
  REQUIRE(rig.should_ask() == false);
  rig.later(1s);
  REQUIRE(rig.should_ask());
  rig.plan.asking();
  REQUIRE(rig.plan.told(stream_of(0), rig.now));
  rig.refuse(0, errc::conflict);
  rig.plan.resume(true, rig.now);
  rig.send();
  CHECK(rig.sent.size() == 2);
  CHECK_FALSE(rig.ask(stream_of(0)));
  CHECK(rig.plan.halted() == nats::halt::foreign);
}

TEST_CASE("X3: a buffer that ends below what it had acknowledged is another one") {
  plan_rig rig(fenced, stream_of(3));
  rig.put_counted(3);
  rig.ack(0, 4);
  rig.ack(1, 5);
  rig.later(1001ms);
  CHECK_FALSE(rig.ask(stream_of(4)));
  CHECK(rig.plan.halted() == nats::halt::stream_lost);
}

TEST_CASE("X3: what is acknowledged after the question does not make its answer too low") {
  plan_rig rig(fenced);
  rig.put_counted(3);
  rig.later(1001ms);
  rig.later(1s);
  REQUIRE(rig.should_ask());
  rig.plan.asking();
  rig.ack(0, 1);
  CHECK(rig.plan.told(stream_of(0), rig.now));
  CHECK(rig.plan.halted() == nats::halt::none);
  rig.plan.resume(true, rig.now);
  rig.send();
  CHECK(rig.data(3) == words{"1"});
}

TEST_CASE("a delete marker that takes the place of a message keeps its sequence") {
  plan_rig rig(fenced, stream_of(4));
  rig.put_counted(2);
  rig.refuse(0, errc::too_large);
  rig.refuse(1, errc::conflict);
  REQUIRE(rig.ask(stream_of(4)));
  REQUIRE(rig.sent.size() == 3);
  CHECK(rig.sent[2].is_marker());
  CHECK(rig.sent[2].header(fence) == "4");
  rig.ack(2, 5);
  CHECK(rig.sent[3].header(fence) == "5");
}
