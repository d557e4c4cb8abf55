// Rule X10: whatever is refused, lost or cut off, the newest value of each key is the one that was put last.
#include "publisher_rig.hpp"

using namespace recordkv;
using namespace recordkv::test;

namespace {

const std::string plain = R"({"subjects":["s.>"],"discard":"new","allow_direct":true})";
nats::publisher_spec spec(std::chrono::milliseconds answer_limit = 5s) {
  return {.name = "test", .stream = "S", .answer_limit = answer_limit};
}

}  // namespace

TEST_CASE("what is put stands in the stream, in order, and the floor tells when") {
  publisher_rig rig;
  rig.stream("S", plain);
  rig.open(spec());
  rig.put(counted("s", 5000, 7));
  REQUIRE(rig.all_durable(5000));
  CHECK(rig.contents("S") == count_to(5000));
  CHECK(rig.out->stored() == 5000);
  CHECK(rig.out->in_flight() == 0);
  CHECK(rig.counters.value("publish_suspects") == 0);
}

TEST_CASE("X10: a refusal in the middle: all behind it is sent again, in order") {
  publisher_rig rig;
  rig.stream("S", R"({"subjects":["s.>"],"discard":"new","allow_direct":true,"max_msgs":100})");
  rig.open(spec());
  rig.put(counted("s", 300, 10));
  REQUIRE(rig.waits_for([&] { return rig.refused("full") > 0; }));
  CHECK(rig.out->floor() == 100);
  CHECK_FALSE(rig.out->last_error().empty());
  rig.update("S", R"({"max_msgs":10000})");
  REQUIRE(rig.all_durable(300));
  CHECK(last_occurrences(rig.contents("S")) == count_to(300));
  for (int key = 0; key < 10; ++key) CHECK(rig.newest("S", fmt::format("s.{}", key)) == std::to_string(290 + key));
  CHECK(rig.out->last_error().empty());
  CHECK(rig.logged("1 test: stream S takes messages again"));
}

TEST_CASE("X10: an older value that was refused does not overtake a newer one that was accepted") {
  publisher_rig rig;
  rig.stream("S",
             R"({"subjects":["s.>"],"discard":"new","max_msgs_per_subject":1,"max_bytes":100000,"allow_direct":true})");
  rig.publish("s.other", std::string(60000, 'x'));
  rig.publish("s.key", "0");
  rig.open(spec());
  const std::string large = "1" + std::string(60000, 'y');
  rig.put({{"s.key", large}, {"s.key", "2"}});  // the first has no room, the second takes that of the "0"
  REQUIRE(rig.waits_for([&] { return rig.refused("full") > 0; }));
  REQUIRE(rig.run(rig.nc.flush()).has_value());
  CHECK(rig.newest("S", "s.key") == "2");
  CHECK(rig.out->floor() == 0);
  rig.update("S", R"({"max_bytes":1000000})");
  REQUIRE(rig.all_durable(2));
  CHECK(rig.newest("S", "s.key") == "2");
}

TEST_CASE("X10: a refused ordinal reopens every later one, and answers to an older attempt are void") {
  publisher_rig rig;
  rig.stream("S", plain);
  scripted_stream stream(rig, "fake.>");
  rig.open(spec());
  rig.put(counted("fake", 4, 4));
  REQUIRE(stream.has(4));
  const auto first = stream.all;
  stream.ack(first[0]);
  stream.refuse(first[1]);
  stream.ack(first[2]);  // stored already, and yet it must come again behind number 1
  REQUIRE(stream.has(5));
  CHECK(stream.data() == words{"0", "1", "2", "3", "1"});  // one goes ahead
  CHECK(stream.all[4].attempt != first[1].attempt);
  stream.ack(first[1]);
  stream.ack(first[3]);
  CHECK(rig.out->floor() == 1);
  stream.ack(stream.all[4]);
  CHECK(rig.out->floor() == 2);
  REQUIRE(stream.has(7));
  CHECK(stream.data() == words{"0", "1", "2", "3", "1", "2", "3"});
  stream.ack(first[2]);
  CHECK(rig.out->floor() == 2);
  stream.ack(stream.all[6]);
  CHECK(rig.out->floor() == 2);
  stream.ack(stream.all[5]);
  CHECK(rig.out->floor() == 4);
}

TEST_CASE("X7: what waits behind a probe is not sent by who may have lost his place meanwhile") {
  publisher_rig rig;
  rig.stream("S", plain);
  scripted_stream stream(rig, "fake.>");
  bool ours = true;
  int asked = 0;
  auto s = spec();
  s.permit = {.valid = [&] { return ours; },
              .renew = [&]() -> task<bool> {
                ++asked;
                co_return true;  // an answer from before it was stopped
              }};
  rig.open(std::move(s));
  rig.put(counted("fake", 3, 3));
  REQUIRE(stream.has(3));
  stream.refuse(stream.all[0]);
  REQUIRE(stream.has(4));
  ours = false;  // it was stopped; the answer has lain there
  stream.ack(stream.all[3]);
  REQUIRE(rig.waits_for([&] { return asked > 1; }));
  REQUIRE(rig.run(rig.nc.flush()).has_value());
  REQUIRE(stream.has(4));
  CHECK(stream.data() == words{"0", "1", "2", "0"});
  ours = true;
  REQUIRE(stream.has(5));
  stream.ack(stream.all[4]);
  REQUIRE(stream.has(6));
  CHECK(stream.data() == words{"0", "1", "2", "0", "1", "2"});
}

TEST_CASE("X10: what is not answered in time is sent again with all behind it") {
  publisher_rig rig;
  rig.stream("S", plain);
  scripted_stream stream(rig, "fake.>");
  rig.open(spec(300ms));
  rig.put(counted("fake", 3, 3));
  REQUIRE(stream.has(3));
  stream.ack(stream.all[1]);
  REQUIRE(stream.has(4));
  CHECK(stream.data() == words{"0", "1", "2", "0"});
  CHECK(rig.logged("stream S refuses: no answer within 300 ms"));
  stream.ack(stream.all[3]);
  REQUIRE(stream.has(6));
  CHECK(stream.data() == words{"0", "1", "2", "0", "1", "2"});
  stream.ack(stream.all[4]);
  stream.ack(stream.all[5]);
  CHECK(rig.out->floor() == 3);
}

TEST_CASE("X10: a reconnect in the middle of the window loses nothing and keeps the order") {
  publisher_rig rig;
  rig.stream("S", plain);
  rig.open(spec());
  rig.put_in_background(counted("s", 6000, 10));
  REQUIRE(rig.waits_for([&] { return rig.out->floor() > 200; }));
  rig.restart_server();
  REQUIRE(rig.all_durable(6000));
  CHECK(last_occurrences(rig.contents("S")) == count_to(6000));
  CHECK(rig.nc.connects() == 2);
}

TEST_CASE("put waits while the window is full, and while the server is away") {
  publisher_rig rig;
  rig.stream("S", plain);
  auto s = spec();
  s.limits.count = 10;
  rig.open(s);
  rig.server.pause();
  rig.put_in_background(counted("s", 30, 3));
  REQUIRE(rig.waits_for([&] { return rig.out->in_flight() == 10; }));
  settle_down(rig.io);
  CHECK(rig.out->in_flight() == 10);
  CHECK(rig.out->full());
  rig.server.resume();
  REQUIRE(rig.all_durable(30));
  CHECK(rig.contents("S") == count_to(30));
}

TEST_CASE("a skipped ordinal settles behind what is in flight before it") {
  publisher_rig rig;
  rig.stream("S", plain);
  scripted_stream stream(rig, "fake.>");
  rig.open(spec());
  CHECK(rig.out->skip() == 0);
  CHECK(rig.out->floor() == 1);
  rig.put(counted("fake", 1, 1));
  CHECK(rig.out->skip() == 2);
  rig.put(counted("fake", 1, 1, 1));
  CHECK(rig.out->floor() == 1);
  REQUIRE(stream.has(2));
  stream.ack(stream.all[0]);
  CHECK(rig.out->floor() == 3);
  stream.refuse(stream.all[1]);
  REQUIRE(stream.has(3));
  stream.ack(stream.all[2]);
  CHECK(rig.out->floor() == 4);
}

TEST_CASE("what can never be stored is refused at once, or its older value is deleted") {
  publisher_rig rig;
  rig.stream("S", R"({"subjects":["s.>"],"discard":"new","allow_direct":true,"max_msg_size":1000})");
  rig.open(spec());
  const auto at_once = rig.run(rig.out->put("s.a", {}, std::string(2000, 'x')));
  REQUIRE(at_once.has_error());
  CHECK(at_once.error().code == errc::too_large);
  CHECK(rig.run(rig.out->put("s." + std::string(4000, 'k'), {}, "x")).error().code == errc::too_large);
  rig.put({{"s.a", "old"}});
  rig.update("S", R"({"max_msg_size":100})");  // behind the publisher's back
  rig.put({{"s.a", std::string(500, 'x')}, {"s.b", "after"}});
  REQUIRE(rig.all_durable(3));
  CHECK(rig.newest("S", "s.a").empty());
  CHECK(rig.newest("S", "s.b") == "after");
  CHECK(rig.counters.value("skipped", "too_large") == 1);
}

TEST_CASE("a closed publisher takes nothing, and lets go of who waits for room") {
  publisher_rig rig;
  rig.stream("S", plain);
  auto s = spec();
  s.limits.count = 1;
  rig.open(s);
  rig.server.pause();
  rig.put({{"s.a", "1"}});
  std::optional<result<void>> waited;
  asio::co_spawn(rig.io, put_all(*rig.out, {{"s.a", "2"}}), [&](std::exception_ptr, result<void> r) { waited = r; });
  settle_down(rig.io);
  CHECK_FALSE(waited.has_value());
  rig.out->close();
  REQUIRE(rig.waits_for([&] { return waited.has_value(); }));
  CHECK(waited->error().code == errc::closed);
  rig.server.resume();
}

TEST_CASE("X3: a store that was recreated or removed under the publisher halts it") {
  publisher_rig rig;
  rig.stream("S", plain);
  rig.open(spec(300ms));
  rig.put({{"s.a", "1"}});
  REQUIRE(rig.all_durable(1));
  rig.remove("S");
  SECTION("removed") { rig.put_in_background({{"s.a", "2"}}); }
  SECTION("recreated, seen after a reconnect") {
    rig.stream("S", plain);
    rig.restart_server();
    rig.put_in_background({{"s.a", "2"}});
  }
  REQUIRE(rig.waits_for([&] { return rig.out->halted() != nats::halt::none; }));
  CHECK(rig.out->halted() == nats::halt::stream_lost);
  CHECK(rig.run(rig.out->put("s.a", {}, "3")).error().code == errc::conflict);
}
