#include "source_rig.hpp"

#include "recordkv/firehose/source_kinds.hpp"

#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;
using firehose::make_subscribe_repos;
using firehose::start_at;

namespace {
constexpr auto alice = "did:plc:44ybard66vv44zksje25o7dz";
constexpr std::string_view path = "/xrpc/com.atproto.sync.subscribeRepos";
std::string target(std::string_view query = {}) { return std::string(path) + std::string(query); }
step id(std::uint64_t seq) { return binary(wire::identity(seq, alice)); }
}  // namespace

TEST_CASE("after every kind of disconnection reading resumes from the last frame that was returned") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.then({id(1), id(2), close_with(1000, "bye")});
  relay.then({id(3), drop()});
  relay.then({id(4), close_with(1008, "ConsumerTooSlow")});
  relay.then({refuse(503, "later")});
  relay.then({id(5), raw("\xff\xff\xff")});
  relay.then({id(6), binary(wire::error("ConsumerTooSlow"))});
  relay.then({id(7), binary(wire::error("Whatever"))});
  relay.then({id(8)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  CHECK(seqs(rig.take(*source, 8)) == numbers{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(relay.targets == std::vector{target(), target("?cursor=2"), target("?cursor=3"), target("?cursor=4"),
                                     target("?cursor=4"), target("?cursor=5"), target("?cursor=6"),
                                     target("?cursor=7")});
  CHECK(rig.reconnects("closed") + rig.reconnects("unreachable") == 3);
  CHECK(rig.reconnects("refused") == 1);
  CHECK(rig.reconnects("framing") == 1);
  CHECK(rig.reconnects("too_slow") == 1);
  CHECK(rig.reconnects("error_frame") == 1);
  CHECK(
      rig.logged(fmt::format("2 firehose: {}: the server closed the stream: 1000 bye; trying again in", relay.url())));
  CHECK(rig.logged("the server answered HTTP 503 Service Unavailable: later; trying again in"));
}

TEST_CASE("a silent connection is pinged, then given up") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.idle = 600ms;
  SECTION("pongs keep it alive") {
    const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
    asio::co_spawn(rig.io, source->next(), [](std::exception_ptr, result<std::vector<frame>>) {});
    CHECK(comes_true(rig.io, [&] { return relay.pings >= 3; }));
    CHECK(relay.targets.size() == 1);
    source->close();
    rig.io.poll();
  }
  SECTION("no pong, no life") {
    relay.then({id(1), stall()});
    relay.then({id(2)});
    const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
    CHECK(seqs(rig.take(*source, 2)) == numbers{1, 2});
    CHECK(rig.reconnects("timeout") == 1);
  }
}

TEST_CASE("a permanent refusal is reported at once, with the server's text") {
  source_rig rig;
  fake_relay relay(rig.io);
  const int status = GENERATE(400, 401, 403, 404, 501);
  relay.then({refuse(status, "No\nsuch\tmethod " + std::string(500, 'x'))});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto got = rig.next(*source);
  REQUIRE(got);
  REQUIRE(got->has_error());
  CHECK(got->error().code == errc::bad_config);
  CHECK(got->error().text.find(fmt::format("HTTP {}", status)) != std::string::npos);
  CHECK(got->error().text.find("No such method xxx") != std::string::npos);
  CHECK(got->error().text.size() < 350);
  CHECK(source->last_error().find("No such method") != std::string::npos);
}

TEST_CASE("a refusal after an earlier success is temporary") {
  source_rig rig;
  fake_relay relay(rig.io);
  const int status = GENERATE(400, 401, 403, 404, 501);
  auto spec = rig.spec(relay.url());
  SECTION("by this process") { relay.then({id(1), drop()}); }
  SECTION("by an earlier one, which left its cursor") { spec.cursor = source_position(1); }
  relay.then({refuse(status, "a proxy without its server")});
  relay.then({id(2)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  const auto wanted = spec.cursor ? numbers{2} : numbers{1, 2};
  CHECK(seqs(rig.take(*source, wanted.size())) == wanted);
  CHECK(rig.logged(fmt::format("HTTP {}", status)));
  CHECK(relay.targets.back() == target("?cursor=1"));
}

TEST_CASE("an address that is not valid is reported at once") {
  source_rig rig;
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec("https://relay.example.com"), rig.counters);
  const auto got = rig.next(*source);
  REQUIRE(got);
  CHECK(got->error().code == errc::bad_config);
}

TEST_CASE("after HTTP 429 the next attempt waits as long as the answer says") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.then({refuse(429, "slow down", "1")});
  relay.then({id(1)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto before = std::chrono::steady_clock::now();
  CHECK(rig.take(*source, 1).size() == 1);
  CHECK(std::chrono::steady_clock::now() - before >= 1s);
  CHECK(rig.logged("HTTP 429 Too Many Requests: slow down; trying again in 1000 ms"));
}

TEST_CASE("delays grow until a connection is good") {
  source_rig rig;
  fake_relay relay(rig.io);
  for (std::uint64_t i = 1; i <= 5; ++i) relay.then({id(i), drop()});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  CHECK(rig.take(*source, 5).size() == 5);
  script many;
  for (std::uint64_t i = 6; i <= 1005; ++i) many.push_back(id(i));
  many.push_back(drop());
  relay.then(many);
  relay.then({id(2000)});
  CHECK(rig.take(*source, 1001).back().info.seq == 2000);
  std::vector<int> delays;
  for (const auto& line : rig.lines)
    if (const auto at = line.find("again in "); at != line.npos) delays.push_back(std::stoi(line.substr(at + 9)));
  REQUIRE(delays.size() == 6);
  CHECK(delays[4] >= 16);  // 2 ms · 2^4, the lower half
  CHECK(delays[5] <= 2);   // after 1000 frames it begins anew
}

TEST_CASE("a connection that lasts is good, also without frames") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.proof = 0ms;
  for (int i = 0; i < 8; ++i) relay.then({close_with(1000)});
  relay.then({id(1)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  CHECK(seqs(rig.take(*source, 1)) == numbers{1});
  int quick = 0;
  for (const auto& line : rig.lines)
    if (const auto at = line.find("again in "); at != line.npos) quick += std::stoi(line.substr(at + 9)) <= 2;
  CHECK(quick == 8);
}

TEST_CASE("close ends a wait, whatever it waits for") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  asio::ip::tcp::acceptor mute(rig.io, {asio::ip::address_v4::loopback(), 0});  // accepts and says nothing
  SECTION("for frames") {}
  SECTION("for the upgrade") { spec.url = fmt::format("ws://127.0.0.1:{}", mute.local_endpoint().port()); }
  SECTION("for the next try") {
    spec.retry_base = 60s;
    relay.then({drop()});
  }
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  std::optional<errc> ended;
  asio::co_spawn(rig.io, source->next(), [&](std::exception_ptr, result<std::vector<frame>> r) {
    ended = r ? errc::conflict : r.error().code;
  });
  rig.io.run_for(50ms);
  CHECK_FALSE(ended);
  source->close();
  CHECK(comes_true(rig.io, [&] { return ended.has_value(); }, 2s));
  CHECK(ended == errc::closed);
  source->close();
  const auto again = rig.next(*source);
  REQUIRE(again);
  CHECK(again->error().code == errc::closed);
}

TEST_CASE("without a call of next() the server waits") {
  source_rig rig;
  fake_relay relay(rig.io);
  script flood;  // 60 MB: more than any socket's buffers
  for (std::uint64_t i = 1; i <= 3000; ++i) flood.push_back(binary(wire::padded(i, 20'000)));
  relay.then(flood);
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto first = rig.next(*source);
  REQUIRE(first);
  REQUIRE(first->has_value());
  CHECK((*first)->size() <= 512);
  // Nothing moves any more once the kernel's buffers are full.
  std::uint64_t before = 0;
  do {
    before = relay.sent;
    rig.io.restart();
    rig.io.run_for(50ms);
  } while (relay.sent != before);
  CHECK(relay.sent < 2500);
  CHECK(rig.take(*source, 3000 - (*first)->size()).back().info.seq == 3000);
}
