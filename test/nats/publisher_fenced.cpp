// Rules X1 and X3: what stands in the buffer is exactly what was put, in order, once; or the publisher halts.
#include "publisher_rig.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;

namespace {

const std::string queue = R"({"subjects":["ingest.*"],"retention":"workqueue","discard":"new","allow_direct":true})";
nats::publisher_spec spec(std::chrono::milliseconds answer_limit = 5s) {
  return {.name = "test", .stream = "ingest", .fenced = true, .answer_limit = answer_limit};
}

}  // namespace

TEST_CASE("X1: of refused frames none leaves a hole and none comes twice") {
  publisher_rig rig;
  rig.stream("ingest", queue);
  rig.update("ingest", R"({"max_bytes":65536})");
  rig.open(spec());
  auto items = counted("ingest", 20, 4);
  const std::string large = "20" + std::string(64000, 'x');
  items.push_back({"ingest.0", large});  // has no room; each of those behind it would have
  for (auto& i : counted("ingest", 179, 4, 21)) items.push_back(i);
  rig.put(std::move(items));
  REQUIRE(rig.waits_for([&] { return rig.refused("full") > 0 && rig.refused("conflict") > 0; }));
  CHECK(rig.info("ingest").last_seq == 20);
  rig.update("ingest", R"({"max_bytes":10000000})");
  REQUIRE(rig.all_durable(200));
  auto wanted = count_to(200);
  wanted[20] = large;
  CHECK(rig.contents("ingest") == wanted);
  CHECK(rig.out->halted() == nats::halt::none);
}

TEST_CASE("what is as large as the server takes is stored or refused at once, and never costs the connection") {
  publisher_rig rig;
  rig.stream("ingest", queue);
  rig.open(spec());
  const auto most = rig.nc.max_payload();
  std::size_t stored = 0;
  for (std::size_t less = 0; less <= 160; less += 4) {
    const auto put = rig.run(rig.out->put("ingest.0", {{"seq", "1"}}, std::string(most - less, 'x')));
    if (!put) CHECK(put.error().code == errc::too_large);
    stored += put.has_value();
  }
  CHECK(stored > 0);
  REQUIRE(rig.all_durable(stored));
  CHECK(rig.info("ingest").messages == stored);
  CHECK(rig.nc.connects() == 1);
}

TEST_CASE("X1: a full buffer takes exactly the rest once there is room") {
  publisher_rig rig;
  rig.stream("ingest", queue);
  rig.update("ingest", R"({"max_msgs":50})");
  rig.open(spec());
  rig.put(counted("ingest", 500, 4));
  REQUIRE(rig.waits_for([&] { return rig.refused("full") > 0; }));
  CHECK(rig.out->floor() == 50);
  rig.update("ingest", R"({"max_msgs":120})");
  REQUIRE(rig.all_durable(120));
  rig.update("ingest", R"({"max_msgs":10000})");
  REQUIRE(rig.all_durable(500));
  CHECK(rig.contents("ingest") == count_to(500));
}

TEST_CASE("X1: a reconnect in the middle of the window leaves the exact sequence") {
  publisher_rig rig;
  rig.stream("ingest", queue);
  rig.open(spec());
  rig.put_in_background(counted("ingest", 6000, 4));
  REQUIRE(rig.waits_for([&] { return rig.out->floor() > 200; }));
  rig.restart_server();
  REQUIRE(rig.all_durable(6000));
  CHECK(rig.contents("ingest") == count_to(6000));
  CHECK(rig.nc.connects() == 2);
}

TEST_CASE("X1: a server that answers late leaves the exact sequence") {
  publisher_rig rig;
  rig.stream("ingest", queue);
  rig.open(spec(200ms));
  rig.put(counted("ingest", 10, 4));
  REQUIRE(rig.all_durable(10));
  rig.server.pause();
  rig.put(counted("ingest", 90, 4, 10));
  REQUIRE(rig.waits_for([&] { return rig.counters.value("publish_suspects") > 0; }));
  rig.server.resume();
  REQUIRE(rig.all_durable(100));
  CHECK(rig.contents("ingest") == count_to(100));
}

TEST_CASE("X1: the sequence of an ordinal is where it stands") {
  publisher_rig rig;
  rig.stream("ingest", queue);
  for (int i = 0; i < 7; ++i) rig.publish("ingest.0", "earlier");
  rig.open(spec());
  const auto first = rig.run(rig.out->put("ingest.1", {}, "first"));
  REQUIRE(first.has_value());
  CHECK(rig.out->sequence_of(*first) == 8);
  REQUIRE(rig.all_durable(*first + 1));
  CHECK(rig.info("ingest").last_seq == 8);
  rig.publish("ingest.0", "foreign");
  rig.out->attach(rig.info("ingest"));
  const auto second = rig.run(rig.out->put("ingest.1", {}, "second"));
  REQUIRE(second.has_value());
  CHECK(rig.out->sequence_of(*second) == 10);
  REQUIRE(rig.all_durable(*second + 1));
  CHECK(rig.contents("ingest").back() == "second");
}

TEST_CASE("X1: another writer halts it") {
  publisher_rig rig;
  rig.stream("ingest", queue);
  rig.open(spec());
  rig.put(counted("ingest", 3, 3));
  REQUIRE(rig.all_durable(3));
  SECTION("which wrote more than we could have") {
    for (int i = 0; i < 3; ++i) rig.publish("ingest.0", "foreign");
    rig.put_in_background({{"ingest.0", "3"}});
  }
  SECTION("which wrote as much as we were about to") {
    rig.publish("ingest.0", "foreign");
    rig.put_in_background({{"ingest.0", "3"}});
  }
  SECTION("which wrote less than we were about to") {
    rig.publish("ingest.0", "foreign");
    rig.put_in_background(counted("ingest", 5, 3, 3));
  }
  REQUIRE(rig.waits_for([&] { return rig.out->halted() != nats::halt::none || rig.out->floor() > 3; }));
  CHECK(rig.out->halted() == nats::halt::foreign);
  CHECK(rig.out->floor() == 3);
  CHECK(rig.run(rig.out->put("ingest.0", {}, "4")).error().code == errc::conflict);
  rig.out->attach(rig.info("ingest"));
  CHECK(rig.out->halted() == nats::halt::none);
  const auto again = rig.run(rig.out->put("ingest.0", {}, "again"));
  REQUIRE(again.has_value());
  CHECK(rig.all_durable(*again + 1));
}

TEST_CASE("X3: a buffer that was removed, recreated or lost with its server halts it") {
  publisher_rig rig;
  const bool memory = GENERATE(false, true);
  rig.stream("ingest", queue.substr(0, queue.size() - 1) + (memory ? R"(,"storage":"memory"})" : "}"));
  rig.open(spec(300ms));
  rig.put(counted("ingest", 5, 3));
  REQUIRE(rig.all_durable(5));
  if (memory) {
    rig.restart_server();
  } else {
    rig.api("STREAM.DELETE.ingest");
    rig.put_in_background(counted("ingest", 5, 3, 5));
    if (GENERATE(false, true)) rig.stream("ingest", queue);
  }
  REQUIRE(rig.waits_for([&] { return rig.out->halted() != nats::halt::none; }));
  CHECK(rig.out->halted() == nats::halt::stream_lost);
}

TEST_CASE("X3: a buffer of the same name and another creation is another one, however far it has come") {
  publisher_rig rig;
  rig.stream("ingest", queue);
  rig.open(spec(300ms));
  rig.put(counted("ingest", 5, 3));
  REQUIRE(rig.all_durable(5));
  rig.remove("ingest");
  rig.stream("ingest", queue);
  for (int i = 0; i < 5; ++i) rig.publish("ingest.0", "foreign");
  rig.put_in_background(counted("ingest", 1, 1, 5));  // accepted: the sequence is the one expected
  rig.restart_server();
  REQUIRE(rig.waits_for([&] { return rig.out->halted() != nats::halt::none; }));
  CHECK(rig.out->halted() == nats::halt::stream_lost);
}
