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

TEST_CASE("frames come whole, in order, with their summary") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.together = GENERATE(false, true);
  relay.then({id(1), id(2), ping(), id(5)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  CHECK(source->last_error() == fmt::format("connecting to {}: not tried yet", relay.url()));
  const auto frames = rig.take(*source, 3);
  REQUIRE(seqs(frames) == numbers{1, 2, 5});
  CHECK(frames[1].bytes == wire::identity(2, alice));
  CHECK(frames[1].info.did == alice);
  CHECK(source->last_error().empty());
  CHECK(rig.counters.value("source_frames") == 3);
  CHECK(rig.counters.value("source_bytes") == 3 * wire::identity(1, alice).size());
  CHECK(relay.targets == std::vector{target()});
  CHECK(comes_true(rig.io, [&] { return relay.pongs == 1; }));
}

TEST_CASE("the start is the cursor, the oldest event, or live") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url("/"));
  std::string expected = target();
  SECTION("live") {}
  SECTION("oldest") {
    spec.start = start_at::oldest;
    expected = target("?cursor=0");
  }
  SECTION("cursor") {
    spec.start = start_at::oldest;
    spec.cursor = source_position(41);
    expected = target("?cursor=41");
  }
  SECTION("a path and a query of its own") {
    spec.url = relay.url("/elsewhere?a=b");
    spec.cursor = source_position(41);
    expected = "/elsewhere?a=b&cursor=41";
  }
  relay.then({id(42)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  CHECK(rig.take(*source, 1).size() == 1);
  CHECK(relay.targets == std::vector{expected});
}

TEST_CASE("X18: a frame that cannot be read is skipped at once, without a reconnect") {
  source_rig rig;
  fake_relay relay(rig.io);
  const std::string bad = GENERATE_COPY(wire::poison(alice), wire::identity(3, alice) + "x", std::string("\xff"));
  relay.then({id(1), id(2), binary(bad), id(4), binary(bad), id(5)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto frames = rig.take(*source, 6);
  REQUIRE(seqs(frames) == numbers{1, 2, 0, 4, 0, 5});
  CHECK(frames[2].what == notice::unreadable);
  CHECK(frames[2].info.kind == atproto::event_kind::unreadable);
  CHECK(frames[2].info.did == (bad.size() > 1 ? alice : ""));
  CHECK(rig.skipped("unreadable") == 2);
  CHECK(rig.counters.value("source_frames") == 4);
  CHECK(relay.targets == std::vector{target()});
}

TEST_CASE("X18: many unreadable frames are logged in one line a minute, with the reason and the number") {
  source_rig rig;
  fake_relay relay(rig.io);
  script many;
  for (std::uint64_t i = 1; i <= 30; ++i) {
    many.push_back(id(i));
    many.push_back(binary(wire::poison(alice)));
  }
  relay.then(many);
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  CHECK(rig.take(*source, 60).size() == 60);
  CHECK(rig.skipped("unreadable") == 30);
  CHECK(relay.targets.size() == 1);
  CHECK(std::ranges::count_if(rig.lines, [](const auto& l) { return l.find("can't be read") != l.npos; }) == 1);
  CHECK(rig.logged(
      fmt::format("2 firehose: {}: skipped 1 message that can't be read, the last behind seq 1", relay.url())));
}

TEST_CASE("X18: an empty message only keeps a connection alive") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.then({id(1), text(""), text(" \n"), binary(""), id(2)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  CHECK(seqs(rig.take(*source, 2)) == numbers{1, 2});
  CHECK(rig.skipped("keep_alive") == 3);
  CHECK(rig.skipped("unreadable") == 0);
  CHECK(relay.targets.size() == 1);
}

TEST_CASE("an event of an account without a number counts as unreadable") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto numberless = wire::identity(2, alice);
  numberless[numberless.find("seq")] = 'q';
  relay.then({id(1), binary(numberless), id(3)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto frames = rig.take(*source, 3);
  REQUIRE(seqs(frames) == numbers{1, 0, 3});
  CHECK(frames[1].what == notice::unreadable);
  CHECK(frames[1].info.did == alice);
  CHECK(frames[1].info.name == "seq");
}

TEST_CASE("a host that sends errors between events is left once, not for each error") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.then({id(1), binary(wire::error("Whatever"))});
  relay.then({id(2), binary(wire::error("Whatever")), id(3), binary(wire::error("FutureCursor")), id(4),
              binary(wire::error("AnotherOne")), id(5)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  CHECK(seqs(rig.take(*source, 5)) == numbers{1, 2, 3, 4, 5});
  CHECK(relay.targets.size() == 2);
  CHECK(rig.skipped("error_frame") == 3);
}

TEST_CASE("X18: a text message of a relay is unreadable") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.then({id(1), text("hello"), text(wire::identity(2, alice)), id(2)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto frames = rig.take(*source, 4);
  CHECK(seqs(frames) == numbers{1, 0, 0, 2});
  CHECK(frames[1].info.name == "text_message");
  CHECK(rig.skipped("unreadable") == 2);
  CHECK(relay.targets.size() == 1);
}

TEST_CASE("X18: a frame over the limit is skipped at once") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.max_frame = 200'000;
  const std::string huge = wire::poison(alice) + std::string(300'000, 'x');
  relay.then({id(1), binary(huge), id(3)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 3);
  REQUIRE(seqs(frames) == numbers{1, 0, 3});
  CHECK(frames[1].what == notice::unreadable);
  CHECK(frames[1].info.did == alice);
  CHECK(frames[1].info.name == "oversize");
  CHECK(relay.targets.size() == 1);
}

TEST_CASE("FutureCursor: the cursor is given up and reported once; a second refusal is an error in the log") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.start = start_at::oldest;
  spec.cursor = source_position(1000);
  relay.then({binary(wire::error("FutureCursor"))});
  relay.then({binary(wire::error("FutureCursor"))});
  relay.then({id(3)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 2);
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].what == notice::renumbered);
  CHECK(frames[1].info.seq == 3);
  CHECK(relay.targets == std::vector{target("?cursor=1000"), target("?cursor=0"), target("?cursor=0")});
  CHECK(rig.logged("3 firehose: ALARM"));
}

TEST_CASE("X5: a host that lowers its numbers silently is noticed within a few events, and no event is lost") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  const bool timed = GENERATE(true, false);
  spec.cursor = source_position(1'000'000, timed ? 1'700'000'000 : 0);
  script many;
  for (std::uint64_t i = 1; i <= 10; ++i) many.push_back(id(i));
  relay.then(many);
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  auto frames = rig.take(*source, timed ? 12 : 11);
  numbers told, came;
  for (const auto& f : frames) (f.what == notice::none ? came : told).push_back(f.info.seq);
  CHECK(came == numbers{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  // a gap in time, which is told before the first event; and the new numbering, from its first number on
  CHECK(told == (timed ? numbers{0, 1} : numbers{1}));
  CHECK(relay.targets == std::vector{target("?cursor=1000000")});
}

TEST_CASE("a server that begins earlier than asked repeats; its numbering is the same") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.cursor = source_position(8, 2'000'000'000);  // newer than all that comes
  relay.then({id(3), id(4), id(5), id(6), id(7), id(8), id(9)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 1);
  CHECK(seqs(frames) == numbers{9});
  CHECK(rig.skipped("regress") == 6);
  CHECK(relay.targets.size() == 1);
}

TEST_CASE("events may be missing where numbers and times both skip") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  constexpr double when = 1'783'166'400;  // of every event of this relay: 2026-07-04T12:00:00Z
  double before = 0;
  std::uint64_t first = 0;
  bool gap = false;
  SECTION("numbers alone") { before = when - 500, first = 1'750'000; }
  SECTION("times alone: a quiet source") { before = when - 300'000, first = 5001; }
  SECTION("both") { before = when - 300'000, first = 1'750'000, gap = true; }
  SECTION("the cursor's own event comes again") { before = when, first = 4999; }
  SECTION("no time is known of the cursor") { before = 0, first = 1'750'000; }
  spec.cursor = source_position(5000, before);
  relay.then({id(first), id(first + 1)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, gap ? 3 : 2);
  CHECK(std::ranges::count(frames, notice::gap, &frame::what) == (gap ? 1 : 0));
  if (gap) CHECK(name(frames[0].gap.cause) == "clipped");
  if (gap) CHECK(frames[0].gap.to.time - frames[0].gap.from.time == 300'000);
}

TEST_CASE("#info is logged and changes nothing") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.cursor = source_position(7);
  relay.then({binary(wire::info("OutdatedCursor")), binary(wire::info("Weather")), drop()});
  relay.then({id(9)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 3);
  REQUIRE(frames.size() == 3);
  CHECK(frames[0].what == notice::outdated_cursor);
  CHECK(frames[1].what == notice::gap);  // also when the connection broke before the first event came
  CHECK(frames[2].info.seq == 9);
  CHECK(relay.targets == std::vector{target("?cursor=7"), target("?cursor=7")});
  CHECK(rig.skipped("info") == 1);
}

TEST_CASE("an event of unknown type counts as progress") {
  source_rig rig;
  fake_relay relay(rig.io);
  relay.then({id(1), binary(wire::unknown(2)), drop()});
  relay.then({id(3)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto frames = rig.take(*source, 3);
  REQUIRE(seqs(frames) == numbers{1, 2, 3});
  CHECK(frames[1].info.kind == atproto::event_kind::unknown);
  CHECK(rig.skipped("unknown") == 1);
  CHECK(relay.targets.back() == target("?cursor=2"));
}

TEST_CASE("a frame behind newer frames is a repetition, or late: a late frame is returned as late") {
  source_rig rig;
  fake_relay relay(rig.io);
  const auto bob = "did:plc:abcdefghijklmnopqrstuvwx";
  relay.then({id(5), id(5), id(4), id(4), id(6), binary(wire::identity(6, bob)), drop()});
  relay.then({id(3), id(6), id(6), id(7)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  const auto frames = rig.take(*source, 5);
  REQUIRE(seqs(frames) == numbers{5, 4, 6, 6, 7});
  CHECK(frames[1].what == notice::late);
  CHECK(frames[1].info.did == alice);
  CHECK(frames[3].what == notice::late);  // the second of one number
  CHECK(frames[3].info.did == bob);
  CHECK(frames[3].bytes == wire::identity(6, bob));
  CHECK(frames[4].what == notice::none);
  CHECK(rig.skipped("repeat") == 4);
  CHECK(rig.skipped("regress") == 1);  // from before our first frame
  CHECK(rig.counters.value("source_late") == 2);
}

TEST_CASE("an event before the cursor of an earlier run is a repetition") {
  source_rig rig;
  fake_relay relay(rig.io);
  auto spec = rig.spec(relay.url());
  spec.cursor = source_position(10, 2'000'000'000);  // newer than all that comes
  relay.then({id(9), id(10), id(12), id(10), id(11), id(13)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  const auto frames = rig.take(*source, 3);
  REQUIRE(seqs(frames) == numbers{12, 11, 13});
  CHECK(frames[1].what == notice::late);
}

TEST_CASE("a batch is bounded") {
  source_rig rig;
  fake_relay relay(rig.io);
  std::string many;
  for (std::uint64_t i = 1; i <= 1500; ++i) {
    const auto message = wire::unknown(i);
    many += wire::ws_frame(0x82, message.size(), message);
  }
  relay.then({raw(many)});
  const auto source = make_subscribe_repos(rig.io.get_executor(), rig.spec(relay.url()), rig.counters);
  numbers sizes;
  for (std::uint64_t got = 0; got < 1500;) {
    const auto batch = rig.next(*source);
    REQUIRE((batch && batch->has_value()));
    got += (*batch)->size();
    sizes.push_back((*batch)->size());
  }
  CHECK(std::ranges::max(sizes) == 512);
}
