#include "source_rig.hpp"

#include "recordkv/firehose/source_kinds.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;
using firehose::make_jetstream;
using firehose::start_at;

namespace {
constexpr auto alice = "did:plc:44ybard66vv44zksje25o7dz";
constexpr std::uint64_t t0 = 1'750'000'000'000'000;
step like(std::uint64_t time_us) { return text(wire::like(time_us, alice)); }
}  // namespace

TEST_CASE("jetstream: events come with their summary, and a filter goes upstream") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.collections = {"app.bsky.feed.like", "app.bsky.graph.*"};
  spec.dids = {alice, "did:web:localhost%3A2583"};
  relay.then({like(t0), like(t0), like(t0 - 5)});
  const auto source = make_jetstream(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 3);
  // Equal and lower times are repetition, and harmless.
  REQUIRE(seqs(frames) == numbers{t0, t0, t0 - 5});
  CHECK(frames[0].info.did == alice);
  CHECK(frames[0].info.collections == std::vector<std::string>{"app.bsky.feed.like"});
  CHECK(relay.targets ==
        std::vector<std::string>{"/subscribe?wantedCollections=app.bsky.feed.like&wantedCollections=app.bsky.graph.*"
                                 "&wantedDids=did:plc:44ybard66vv44zksje25o7dz&wantedDids=did:web:localhost%253A2583"});
}

TEST_CASE("jetstream: the start is the cursor, the oldest event, or live") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.collections = {"app.bsky.feed.like", "*"};
  std::string expected = "/subscribe";
  SECTION("live, everything") {}
  SECTION("oldest") {
    spec.start = start_at::oldest;
    expected += "?cursor=0";
  }
  SECTION("a time goes back a little: clocks differ") {
    spec.cursor = source_position(t0);
    expected += fmt::format("?cursor={}", t0 - 5'000'000);
  }
  SECTION("a sequence number does not") {
    spec.cursor = source_position(123'456);
    expected += "?cursor=123456";
  }
  SECTION("v2 has other names") {
    spec.url = relay.url("/xrpc/network.bsky.jetstream.subscribeEvents");
    spec.collections = {"app.bsky.feed.like"};
    spec.dids = {alice};
    spec.start = start_at::oldest;
    expected = fmt::format(
        "/xrpc/network.bsky.jetstream.subscribeEvents?cursor=1000000000000000&collections=app.bsky.feed.like&dids={}",
        alice);
  }
  relay.then({like(t0 + 1)});
  const auto source = make_jetstream(rig.io.get_executor(), spec, rig.counters);
  CHECK(rig.take(*source, 1).size() == 1);
  CHECK(relay.targets == std::vector{expected});
}

TEST_CASE("jetstream: a filter too long for the request line is sent as a message") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.collections = {"app.bsky.feed.like"};
  for (int i = 0; i < 10'000; ++i) spec.dids.push_back(fmt::format("did:plc:{:024}", i));
  spec.cursor = source_position(77);
  relay.then({expect(), like(t0), drop()});
  relay.then({expect(), like(t0 + 1)});
  const auto source = make_jetstream(rig.io.get_executor(), spec, rig.counters);
  CHECK(rig.take(*source, 2).size() == 2);
  CHECK(relay.targets.front() == "/subscribe?cursor=77&requireHello=true");
  REQUIRE(relay.received.size() == 2);
  CHECK(relay.received[0] == relay.received[1]);
  CHECK(relay.received[0].starts_with(
      R"({"type":"options_update","payload":{"wantedCollections":["app.bsky.feed.like"],"wantedDids":["did:plc:0)"));
  CHECK(relay.received[0].ends_with(R"(009999"],"maxMessageSizeBytes":0}})"));
}

TEST_CASE("jetstream: a filter beyond its limits is refused") {
  source_rig rig;
  auto spec = rig.spec("ws://127.0.0.1:9");
  SECTION("collections") { spec.collections.assign(101, "a.b.c"); }
  SECTION("accounts") { spec.dids.assign(10'001, alice); }
  const auto source = make_jetstream(rig.io.get_executor(), spec, rig.counters);
  const auto got = rig.next(*source);
  REQUIRE(got);
  CHECK(got->error().code == errc::bad_config);
}

TEST_CASE("X18: jetstream: a bad message does not stop the stream") {
  source_rig rig;
  fake_relay relay(rig.io);
  const auto whole = [](std::string_view record) {
    return fmt::format(R"({{"did":"{}","time_us":17,"kind":"commit","commit":{{"record":{}}}}})", alice, record);
  };
  const std::string bad = GENERATE_COPY(whole(R"({"t":"\ud83d"})"), whole("{\"t\":\"\xff\"}"),
                                        whole(std::string(600, '[') + std::string(600, ']')), whole("{}") + "x",
                                        whole("{}").substr(0, 90), whole("{}"));
  relay.then({like(t0), like(t0 + 1), text(bad), text(""), like(t0 + 2), text(bad), drop()});
  relay.then({like(t0 + 3)});
  const auto source = make_jetstream(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto frames = rig.take(*source, 6);
  REQUIRE(seqs(frames) == numbers{t0, t0 + 1, 0, t0 + 2, 0, t0 + 3});
  CHECK(frames[2].what == notice::unreadable);
  CHECK(frames[2].info.did == alice);
  CHECK(rig.skipped("keep_alive") == 1);
  CHECK(relay.targets.size() == 2);
  CHECK(relay.targets.back() == fmt::format("/subscribe?cursor={}", t0 + 2 - 5'000'000));
}

TEST_CASE("jetstream: after a refusal of the cursor as too old reading begins at the oldest event") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.cursor = source_position(12);
  relay.then({refuse(400, R"({"error":"CursorTooOld"})")});
  relay.then({like(t0)});
  const auto source = make_jetstream(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 3);
  REQUIRE(frames.size() == 3);
  CHECK(frames[0].what == notice::outdated_cursor);
  CHECK(frames[1].what == notice::gap);  // up to the first event that it still has
  CHECK(relay.targets.back() == "/subscribe?cursor=0");
}

TEST_CASE("jetstream: a refusal whose message only mentions CursorTooOld keeps the cursor") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.cursor = source_position(12);
  relay.then({refuse(400, R"({"error":"InvalidRequest","message":"not CursorTooOld"})")});
  relay.then({like(t0)});
  const auto source = make_jetstream(rig.io.get_executor(), spec, rig.counters);
  rig.take(*source, 1);
  REQUIRE(relay.targets.size() == 2);
  CHECK(relay.targets[0] == relay.targets[1]);
}

TEST_CASE("jetstream v2 wraps its events in an envelope") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.then({text(R"({"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#info",)"
                   R"("name":"OutdatedCursor"}})"),
              text(R"({"$type":"error","error":"ConsumerTooSlow","message":"x"})")});
  relay.then({like(t0)});
  const auto source = make_jetstream(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto frames = rig.take(*source, 2);
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].what == notice::outdated_cursor);
  CHECK(rig.reconnects("too_slow") == 1);
}

TEST_CASE("jetstream: a number of another instance is replaced by a time, with overlap") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.cursor = source_position(5'000'000, static_cast<double>(t0) / 1e6);
  const auto numbered = [](std::uint64_t n, std::uint64_t at) {
    auto e = wire::like(at, alice);
    return text(fmt::format(R"({{"cursor":{},)", n) + e.substr(1));
  };
  relay.then({numbered(1001, t0 + 60'000'000)});
  relay.then({numbered(990, t0 - 1), numbered(991, t0 + 1), numbered(1001, t0 + 60'000'000)});
  const auto source = make_jetstream(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 4);
  CHECK(frames[0].what == notice::renumbered);
  CHECK(seqs(frames) == numbers{0, 990, 991, 1001});
  CHECK(relay.targets ==
        std::vector<std::string>{"/subscribe?cursor=5000000", fmt::format("/subscribe?cursor={}", t0 - 5'000'000)});
}

TEST_CASE("jetstream: an event from the future is returned, and reading does not resume from it") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.then({like(t0), like(4'102'444'800'000'000), drop()});
  relay.then({like(t0 + 1)});
  const auto source = make_jetstream(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  CHECK(rig.take(*source, 3).size() == 3);
  CHECK(relay.targets.back() == fmt::format("/subscribe?cursor={}", t0 - 5'000'000));
}

TEST_CASE("jetstream: reading may begin behind a number or a time, and 0 is the oldest event") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.begin_behind = 0;
  relay.then({like(t0)});
  const auto source = make_jetstream(rig.io.get_executor(), spec, rig.counters);
  CHECK(rig.take(*source, 1).size() == 1);
  CHECK(relay.targets == std::vector<std::string>{"/subscribe?cursor=0"});
}
