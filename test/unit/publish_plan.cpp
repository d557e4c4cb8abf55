// What a publisher decides where no sequence is expected: order, window, resend, probe, refusals, permit (X7, X10).
#include "publish_rig.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;
using namespace std::chrono_literals;

TEST_CASE("what is opened is sent at once, in order, each message once, under one attempt") {
  plan_rig rig;
  rig.put_counted(3);
  CHECK(rig.data() == words{"0", "1", "2"});
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(rig.sent[i].number == i);
    CHECK(rig.sent[i].subject == "s." + std::to_string(i));
    CHECK(rig.sent[i].attempt == rig.sent[0].attempt);
  }
  CHECK_FALSE(rig.plan.due());
  CHECK(rig.plan.in_flight() == 3);
}

TEST_CASE("the window is bounded by count and by bytes, and an acknowledgement makes room") {
  plan_rig by_count({.limits = {.count = 2}});
  by_count.put_counted(1);
  CHECK_FALSE(by_count.plan.full());
  by_count.put_counted(1);
  CHECK(by_count.plan.full());
  by_count.ack(0, 1);
  CHECK_FALSE(by_count.plan.full());
  plan_rig by_bytes({.limits = {.bytes = 100}});
  by_bytes.put("s", std::string(200, 'x'));  // an empty window takes one of any size
  CHECK(by_bytes.plan.full());
  by_bytes.ack(0, 1);
  CHECK_FALSE(by_bytes.plan.full());
}

TEST_CASE("the floor is the first message that is not acknowledged, and stored() its stream sequence") {
  plan_rig rig;
  rig.put_counted(3);
  rig.ack(1, 12);
  CHECK(rig.plan.floor() == 0);
  CHECK(rig.plan.stored() == 0);
  rig.ack(0, 11);
  CHECK(rig.plan.floor() == 2);
  CHECK(rig.plan.stored() == 12);
  rig.ack(2, 13);
  rig.ack(2, 14);  // an answer that comes twice
  CHECK(rig.plan.floor() == 3);
  CHECK(rig.plan.stored() == 13);
  CHECK(rig.plan.in_flight() == 0);
}

TEST_CASE("a skipped ordinal needs no message and takes its turn, also through a resend") {
  plan_rig rig;
  CHECK(rig.plan.skip(rig.now) == 0);
  CHECK(rig.plan.floor() == 1);
  rig.put("s.a", "a");
  CHECK(rig.plan.skip(rig.now) == 2);
  rig.put("s.b", "b");
  CHECK(rig.plan.floor() == 1);
  rig.refuse(0, errc::refused);
  REQUIRE(rig.ask(stream_of(0)));
  rig.ack(2, 1);
  CHECK(rig.plan.floor() == 3);
  CHECK(rig.plan.stored() == 1);  // a skip stands nowhere
  CHECK(rig.data() == words{"a", "b", "a", "b"});
  rig.ack(3, 2);
  CHECK(rig.plan.floor() == 4);
}

TEST_CASE("X20: each message that the floor passes is told, in order, with the sequence under which it stands") {
  words told;
  plan_rig rig({.passed = [&told](std::string_view subject, std::uint64_t seq) {
    told.push_back(fmt::format("{} {}", subject, seq));
  }});
  rig.put_counted(3);
  rig.ack(1, 12);
  CHECK(told.empty());
  rig.refuse(0, errc::full);
  REQUIRE(rig.ask(stream_of(12)));
  rig.ack(3, 13);
  CHECK(told == words{"s.0 13"});
  CHECK(rig.plan.skip(rig.now) == 3);
  rig.ack(4, 14);
  rig.ack(5, 15);
  CHECK(told == words{"s.0 13", "s.1 14", "s.2 15"});
}

TEST_CASE("X10: one refusal reopens the whole window; one goes ahead, and the rest follows its acknowledgement") {
  plan_rig rig;
  rig.put_counted(4);
  rig.ack(0, 1);
  rig.refuse(1, errc::full);
  rig.ack(2, 2);  // stored, and yet it must come again behind number 1
  CHECK(rig.plan.floor() == 1);
  REQUIRE(rig.ask(stream_of(2)));
  CHECK(rig.data(4) == words{"1"});
  rig.put("s.4", "4");  // waits behind the probe
  CHECK(rig.data(4) == words{"1"});
  rig.ack(4, 3);
  CHECK(rig.data(4) == words{"1", "2", "3", "4"});
  CHECK(rig.plan.floor() == 2);
  for (std::size_t i = 5; i < 8; ++i) rig.ack(i, i - 1);
  CHECK(rig.plan.floor() == 5);
  CHECK(rig.plan.stored() == 6);
}

TEST_CASE("X10: answers to an earlier attempt are void") {
  plan_rig rig;
  rig.put_counted(2);
  rig.refuse(0, errc::refused);
  rig.ack(1, 1);
  rig.ack(0, 2);
  rig.refuse(1, errc::full);
  CHECK(rig.plan.floor() == 0);
  CHECK(rig.counters.value("errors", "full") == 0);
  CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::store_refuses);
  REQUIRE(rig.ask(stream_of(2)));
  rig.ack(0, 2);
  rig.refuse(1, errc::full);
  CHECK(rig.plan.floor() == 0);
  CHECK_FALSE(rig.plan.suspects());
  CHECK(rig.sent[2].attempt > rig.sent[0].attempt);
  rig.ack(2, 3);
  rig.ack(3, 4);
  CHECK(rig.plan.floor() == 2);
}

TEST_CASE("X10: three values of one key, the second acknowledged, the first unanswered, the third refused") {
  plan_rig rig;
  rig.put("s.key", "first");
  rig.put("s.key", "second");
  rig.put("s.key", "third");
  rig.ack(1, 2);
  rig.refuse(2, errc::full);
  REQUIRE(rig.ask(stream_of(2)));
  CHECK(rig.data(3) == words{"first"});
  rig.ack(3, 3);
  CHECK(rig.plan.floor() == 1);  // not 2: "first" now lies above "second"
  CHECK(rig.data(3) == words{"first", "second", "third"});
  rig.ack(5, 5);
  CHECK(rig.plan.floor() == 1);
  rig.ack(4, 4);
  CHECK(rig.plan.floor() == 3);
}

TEST_CASE("X10: what is not answered within the limit is sent again with all behind it, and not sooner") {
  plan_rig rig({.answer_limit = 300ms});
  rig.put_counted(3);
  rig.ack(1, 2);
  rig.later(300ms);
  CHECK_FALSE(rig.plan.suspects());
  rig.later(1ms);
  CHECK(rig.plan.suspects());
  CHECK(rig.plan.last_error() == "no answer within 300 ms");
  CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::store_refuses);
  rig.ack(0, 1);  // too late to tell anything
  CHECK(rig.plan.floor() == 0);
  REQUIRE(rig.ask(stream_of(3)));
  rig.ack(3, 4);
  CHECK(rig.data(3) == words{"0", "1", "2"});
}

TEST_CASE("a probe that is not answered is sent again") {
  plan_rig rig({.answer_limit = 300ms});
  rig.put_counted(2);
  for (int i = 0; i < 3; ++i) {
    rig.later(301ms);
    REQUIRE(rig.ask(stream_of(0)));
  }
  CHECK(rig.data(2) == words{"0", "0", "0"});
  CHECK(rig.counters.value("publish_suspects") == 3);
}

TEST_CASE("an idle publisher waits for nothing") {
  plan_rig rig;
  rig.put_counted(1);
  rig.ack(0, 1);
  rig.later(1h);
  CHECK_FALSE(rig.plan.suspects());
  CHECK(rig.plan.patience(rig.now, 200ms) == 200ms);
}

TEST_CASE("each refusal has a code, which tells why the stream takes nothing") {
  struct refusal {
    errc code;
    cause reason;
  };
  const auto r =
      GENERATE(refusal{errc::full, cause::store_full}, refusal{errc::no_space, cause::disk_full},
               refusal{errc::refused, cause::store_refuses}, refusal{errc::timed_out, cause::store_refuses},
               refusal{errc::conflict, cause::store_refuses}, refusal{errc::unauthorized, cause::nats_denied},
               refusal{errc::unreachable, cause::nats_down});
  auto at_its_limits = stream_of(5);
  at_its_limits.max_msgs = 5;
  plan_rig rig({}, at_its_limits);
  rig.put_counted(2);
  rig.refuse(0, r.code, "insufficient space in /data/full: the maximum");  // the text decides nothing
  CHECK(rig.plan.suspects());
  CHECK(rig.plan.stall_reason(true, cause::store_full) == r.reason);
  CHECK(rig.plan.stall_reason(false, cause::store_full) == cause::nats_down);
  CHECK(rig.counters.value("errors", name(r.code)) == 1);
  CHECK(rig.plan.last_error() == "insufficient space in /data/full: the maximum");
  rig.put("s.x", "x");
  CHECK(rig.sent.size() == 2);  // nothing more goes out
}

TEST_CASE("JetStream's err_code gives the code of a refusal, whatever its words are") {
  const auto code_of = [](int err_code, std::string_view description) {
    return nats::parse_pub_ack(fmt::format(
        R"({{"stream":"S","seq":0,"error":{{"code":503,"err_code":{},"description":"{}"}}}})", err_code, description));
  };
  CHECK(code_of(10077, "maximum messages exceeded").error().code == errc::full);
  CHECK(code_of(10077, "Höchstzahl erreicht").error().code == errc::full);
  for (const int c : {10023, 10028, 10047}) CHECK(code_of(c, "maximum").error().code == errc::no_space);
  CHECK(code_of(10054, "no space").error().code == errc::too_large);
  CHECK(code_of(10071, "wrong last sequence: 7").error().code == errc::conflict);
  CHECK(code_of(10164, "wrong last sequence").error().code == errc::conflict);
  CHECK(code_of(10167, "insufficient").error().code == errc::refused);
}

TEST_CASE("a stream that has room and can't store lies on a storage that has none") {
  auto at = stream_of(5);
  at.max_msgs = 7;
  plan_rig rig({}, at);
  rig.put_counted(4);
  SECTION("its storage is full") {
    rig.ack(0, 6);
    rig.refuse(1, errc::full);
    CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::disk_full);
    CHECK(rig.counters.value("errors", "no_space") == 1);
  }
  SECTION("what was stored meanwhile has taken its room") {
    rig.ack(0, 6);
    rig.ack(1, 7);
    rig.refuse(2, errc::full);
    CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::store_full);
    CHECK(rig.counters.value("errors", "full") == 1);
  }
  SECTION("another writer has taken its room, as the stream tells") {
    rig.refuse(0, errc::full);
    CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::disk_full);
    at.messages = at.last_seq = 7;
    REQUIRE(rig.ask(at));
    CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::store_full);
    rig.refuse(4, errc::full);
    CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::store_full);
  }
  SECTION("a consumer has made room since, and the storage is full none the less") {
    for (std::size_t i = 0; i < 2; ++i) rig.ack(i, 6 + i);
    rig.refuse(2, errc::full);
    at.messages = 3;
    at.last_seq = 7;
    REQUIRE(rig.ask(at));
    CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::store_full);
    rig.refuse(4, errc::full);
    CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::disk_full);
  }
}

TEST_CASE("the room of a stream is counted in bytes, too") {
  auto at = stream_of(5);
  at.max_bytes = 1000;
  at.bytes = 500;
  plan_rig rig({}, at);
  rig.put("s", std::string(GENERATE(std::size_t{100}, std::size_t{490}), 'x'));
  const bool fits = rig.sent[0].data.size() == 100;
  rig.refuse(0, errc::full);
  CHECK(rig.plan.stall_reason(true, cause::store_full) == (fits ? cause::disk_full : cause::store_full));
}

TEST_CASE("what NATS can never take is given up: a delete marker takes its place") {
  plan_rig rig;
  rig.put("s.a", std::string(50, 'x'));
  rig.put("s.b", "after");
  SECTION("refused by the stream") { rig.refuse(0, errc::too_large); }
  SECTION("refused by the connection") {
    rig.plan.not_sent(0, {errc::too_large, "beyond max_payload"}, rig.now);
    rig.send();
  }
  CHECK(rig.counters.value("skipped", "too_large") == 1);
  CHECK(rig.notices.front() == "warning: s.a: too large for NATS (50 bytes); skipped, an older value is deleted");
  REQUIRE(rig.ask(stream_of(1)));
  REQUIRE(rig.sent.size() == 3);
  CHECK(rig.sent[2].subject == "s.a");
  CHECK(rig.sent[2].is_marker());
  CHECK(rig.sent[2].data.empty());
  rig.ack(2, 2);
  rig.ack(3, 3);
  CHECK(rig.plan.floor() == 2);
  CHECK(rig.sent[3].data == "after");
}

TEST_CASE("what can't be stored is known before it takes an ordinal") {
  auto at = stream_of(0);
  at.max_msg_size = 1000;
  plan_rig rig({}, at);
  const auto fits = [&](std::string_view subject, std::size_t n, nats::wire_limits wire = {}) {
    const auto size = rig.plan.measure(subject, {}, std::string(n, 'x'), wire);
    if (!size) CHECK(size.error().code == errc::too_large);
    return size.has_value();
  };
  CHECK(fits("s", 900));
  CHECK_FALSE(fits("s", 1000));
  CHECK_FALSE(fits("s", 900, {.max_payload = 800}));
  CHECK_FALSE(fits(std::string(4000, 's'), 1));
  CHECK_FALSE(fits(std::string(900, 's'), 1, {.longer_on_the_wire = 3100}));
  CHECK(fits(std::string(900, 's'), 1));
}

TEST_CASE("what the connection does not take is sent again") {
  plan_rig rig;
  rig.plan.open("s.a", {}, "a", 10, rig.now);
  REQUIRE(rig.plan.next(rig.now, true).has_value());
  rig.plan.not_sent(0, {errc::unreachable, "NATS is not connected"}, rig.now);
  CHECK_FALSE(rig.plan.next(rig.now, true).has_value());
  CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::nats_down);
  REQUIRE(rig.ask(stream_of(0)));
  CHECK(rig.data() == words{"a"});
}

TEST_CASE("X7: without a permit nothing is sent, and the stream is asked before anything is") {
  plan_rig rig;
  rig.permitted = false;
  rig.put_counted(2);
  CHECK(rig.sent.empty());
  CHECK(rig.plan.suspects());
  CHECK(rig.ask(stream_of(0)));  // and the permit is refused again
  CHECK(rig.sent.empty());
  CHECK_FALSE(rig.should_ask());  // not at once
  CHECK(rig.counters.value("publish_suspects") == 1);
  rig.permitted = true;
  REQUIRE(rig.ask(stream_of(0)));
  CHECK(rig.data() == words{"0"});
  rig.ack(0, 1);
  CHECK(rig.data() == words{"0", "1"});
}

TEST_CASE("X7: what waits behind a probe is not sent once the permit has expired") {
  plan_rig rig;
  rig.put_counted(3);
  rig.refuse(0, errc::refused);
  REQUIRE(rig.ask(stream_of(0)));
  rig.permitted = false;  // the process was suspended; the answer had come before
  rig.ack(3, 1);
  CHECK(rig.plan.floor() == 1);
  CHECK(rig.data(3) == words{"0"});
  CHECK(rig.plan.suspects());
  rig.permitted = true;
  REQUIRE(rig.ask(stream_of(1)));
  CHECK(rig.data(3) == words{"0", "1"});
}

TEST_CASE("after a reconnect all is sent again, and while the connection is down nothing is asked") {
  plan_rig rig;
  rig.put_counted(2);
  rig.link.up = false;
  rig.later(100ms);
  CHECK_FALSE(rig.plan.suspects());
  rig.link = {.up = true, .connects = 2};
  rig.later(100ms);
  CHECK(rig.plan.suspects());
  rig.link.up = false;
  CHECK_FALSE(rig.should_ask());
  rig.link = {.up = true, .connects = 3};
  REQUIRE(rig.ask(stream_of(1)));
  rig.ack(2, 2);
  CHECK(rig.data(2) == words{"0", "1"});
}

TEST_CASE("a reconnect with nothing in flight sends no probe") {
  plan_rig rig;
  rig.put_counted(1);
  rig.ack(0, 1);
  rig.link.connects = 2;
  rig.later(1ms);
  REQUIRE(rig.ask(stream_of(1)));
  CHECK(rig.sent.size() == 1);
  CHECK(rig.plan.last_error().empty());
  rig.put("s", "next");
  CHECK(rig.sent.size() == 2);
}

TEST_CASE("the first question comes at once; the pauses between the next grow up to a second, until a success") {
  plan_rig rig;
  rig.put_counted(1);
  rig.refuse(0, errc::refused);
  CHECK(rig.should_ask());
  milliseconds longest{0};
  for (int i = 0; i < 12; ++i) {
    REQUIRE(rig.should_ask());
    rig.plan.asking();
    REQUIRE_FALSE(rig.plan.told(error{errc::timed_out, "no answer"}, rig.now));
    REQUIRE_FALSE(rig.should_ask());
    const auto pause = rig.plan.patience(rig.now, 10s);
    REQUIRE(pause > 0ms);
    REQUIRE(pause <= 1s);
    CHECK(rig.plan.patience(rig.now, 1ms) == 1ms);
    longest = std::max(longest, pause);
    rig.now += pause;
  }
  CHECK(longest >= 500ms);
  REQUIRE(rig.ask(stream_of(0)));
  rig.ack(1, 1);
  rig.put("s", "x");
  rig.refuse(2, errc::refused);
  CHECK(rig.should_ask());
}

TEST_CASE("a stall is told once when it begins and once when it ends") {
  plan_rig rig;
  rig.put_counted(2);
  for (int i = 0; i < 3; ++i) {
    rig.refuse(rig.sent.size() - 1, errc::refused, "because");
    REQUIRE(rig.ask(stream_of(0)));
  }
  CHECK(rig.notices == words{"warning: stream S refuses: because"});
  CHECK(rig.plan.last_error() == "because");
  rig.ack(rig.sent.size() - 1, 1);
  CHECK(rig.notices.back() == "info: stream S takes messages again");
  CHECK(rig.notices.size() == 2);
  CHECK(rig.plan.last_error().empty());
}

TEST_CASE("what the server's permissions refuse is never answered, so the denial counts as the answer") {
  plan_rig rig;
  rig.put("s.a", "a");
  rig.put("s.b", "b");
  rig.ack(0, 1);
  using enum nats::denial::direction;
  const auto denied = [&](auto what, std::string subject) {
    rig.plan.denied({.what = what, .subject = std::move(subject)}, "_INBOX.x.p1.", rig.now);
  };
  denied(publish, "s.a");  // acknowledged: not ours any more
  denied(subscribe, "s.b");
  denied(reply, "_INBOX.x.p2.1.1");
  CHECK_FALSE(rig.plan.suspects());
  SECTION("the subject") { denied(publish, "s.b"); }
  SECTION("the reply") { denied(reply, "_INBOX.x.p1.1.1"); }
  CHECK(rig.plan.suspects());
  CHECK(rig.plan.stall_reason(true, cause::store_full) == cause::nats_denied);
  denied(publish, "s.b");
  CHECK(rig.counters.value("errors", "unauthorized") == 1);
}

TEST_CASE("X3: a stream that is gone, another one, or cut back halts the plan until it is attached again") {
  plan_rig rig;
  rig.put_counted(2);
  rig.ack(0, 1);
  rig.refuse(1, errc::refused);
  SECTION("gone") { CHECK_FALSE(rig.ask(error{errc::not_found, "no stream"})); }
  SECTION("recreated") {
    auto other = stream_of(9);
    other.created = "2026-02-02";
    CHECK_FALSE(rig.ask(other));
  }
  SECTION("cut back") { CHECK_FALSE(rig.ask(stream_of(0))); }
  CHECK(rig.plan.halted() == nats::halt::stream_lost);
  rig.later(1h);
  CHECK_FALSE(rig.should_ask());
  CHECK(rig.sent.size() == 2);
  rig.plan.attach(stream_of(5), rig.link);
  CHECK(rig.plan.halted() == nats::halt::none);
  CHECK(rig.plan.floor() == 2);  // ordinals are never used twice
  CHECK(rig.plan.stored() == 5);
  CHECK(rig.put("s", "new") == 2);
  rig.ack(2, 6);
  CHECK(rig.plan.floor() == 3);
}

TEST_CASE("an attach makes a question void that was on its way") {
  plan_rig rig;
  rig.put_counted(1);
  rig.refuse(0, errc::refused);
  REQUIRE(rig.should_ask());
  rig.plan.asking();
  rig.plan.attach(stream_of(7), rig.link);
  rig.put("s", "new");
  CHECK_FALSE(rig.plan.told(stream_of(0), rig.now));
  rig.plan.resume(true, rig.now);
  CHECK(rig.plan.halted() == nats::halt::none);
  CHECK_FALSE(rig.plan.due());
  CHECK(rig.sent.size() == 2);
}

TEST_CASE("the age of the oldest message and the time to its acknowledgement are known") {
  histogram latency;
  plan_rig rig({.latency = &latency});
  CHECK(rig.plan.oldest(rig.now).count() == 0);
  rig.put_counted(2);
  rig.later(2s);
  CHECK(rig.plan.oldest(rig.now) == 2s);
  rig.ack(0, 1);
  CHECK(latency.count() == 1);
  CHECK(latency.sum() == 2);
}
