// Rules X4, X5 and X18: what a frame, or a notice in a frame's place, does to cursor and buffer.
#include "frame_router.hpp"

#include "publisher_rig.hpp"
#include "recordkv/kv/record_key.hpp"

using namespace recordkv;
using namespace recordkv::test;
using atproto::event_kind;
using firehose::frame;

namespace {

const std::string source = "firehose.relay/2Eexample";
const std::string alice = "did:plc:44ybard66vv44zksje25o7dz";

frame commit(std::uint64_t seq, std::string bytes = "frame") {
  frame f;
  f.bytes = std::move(bytes);
  f.info.kind = event_kind::commit;
  f.info.seq = seq;
  f.info.did = alice;
  return f;
}

frame notice_of(frame::notice what, std::string did = {}) {
  frame f;
  f.what = what;
  f.info.did = std::move(did);
  return f;
}

frame unreadable(std::string did) {
  auto f = notice_of(frame::notice::unreadable, std::move(did));
  f.info.name = "json";
  return f;
}
frame late(std::uint64_t seq) {
  auto f = commit(seq, "late");
  f.what = frame::notice::late;
  return f;
}

std::string unreadable_marker() {
  return fmt::format(R"({{"marker":"unreadable","did":"{}","reason":"json"}})", alice);
}
std::string marker(std::string_view word) { return fmt::format(R"({{"marker":"{}","did":"{}"}})", word, alice); }

/// A run of ingest that has just taken its place, without a source: the test hands it the frames.
struct intake_rig : publisher_rig {
  intake_rig() {
    stream("ingest", R"({"subjects":["ingest.*"],"retention":"workqueue","allow_direct":true,"max_msg_size":1000})");
    REQUIRE(run(at.open(1)).has_value());
    open({.name = "ingest", .stream = "ingest", .fenced = true});
    mark.begin(info("ingest"));
    intake.emplace(ctx, at, gaps, who, *out, mark);
  }
  result<void> take(frame f) { return run(intake->take(std::move(f))); }
  void takes(frame f) {
    if (auto done = take(std::move(f)); !done) FAIL(done.error().text);
  }
  void cursor_stands_at(std::uint64_t value) { REQUIRE(run(at.write(value, "server")).has_value()); }
  kv::entry key() {
    auto e = run(raw.get(source));
    if (!e) FAIL(e.error().text);
    return *e;
  }
  /// What stands in the buffer, once all that was put does.
  words buffer() {
    REQUIRE(waits_for([this] { return out->in_flight() == 0; }));
    return contents("ingest");
  }
  nats::stored_message last() {
    (void)buffer();
    auto m = run(nats::last_message(nc, "ingest", "ingest.>"));
    if (!m) FAIL(m.error().text);
    return *m;
  }
  /// The store takes everything: what the cursor may say then.
  std::optional<source_position> settled() {
    (void)buffer();
    api("STREAM.PURGE.ingest");
    const auto now = std::chrono::steady_clock::now();
    REQUIRE(mark.look(info("ingest"), now));
    return mark.durable(now, 0ms);
  }
  auto markers(std::string_view why) const { return counters.value("markers", why); }

  config cfg;
  stage_context ctx{.nc = nc, .cfg = cfg, .counters = counters, .facts = {}};
  stages::cursor at{nc, "record", {"firehose", source, "wss://relay.example"}};
  kv::source_gaps gaps{nc, "record", source};
  stages::collection_filter who{{"*"}, true};
  stages::buffer_watermark mark;
  kv::bucket raw{nc, "cursor"};
  std::optional<stages::frame_router> intake;
};

/// It must say itself where it belongs: what reads it has nothing else to go by.
void check_marker(const nats::stored_message& m, event_kind kind, std::string_view seq) {
  CHECK(m.subject == "ingest." + kv::partition_of(alice));
  CHECK(m.header_value("source") == source);
  CHECK(m.header_value("seq") == seq);
  CHECK(m.header_value("epoch") == "0");
  const auto e = atproto::decode_event(m.data);
  REQUIRE(e.has_value());
  CHECK(e->kind == kind);
  CHECK(e->did == alice);
}

}  // namespace

TEST_CASE("X4: without a cursor the first frame sets it before itself, and later ones leave it there") {
  intake_rig rig;
  rig.takes(commit(101));
  CHECK(rig.at.value() == 100);
  CHECK(rig.key().value == "100");
  CHECK(rig.key().header_value("server_id") == rig.nc.server_id());
  rig.takes(commit(102));
  CHECK(rig.key().value == "100");
  CHECK(rig.buffer().size() == 2);
}

TEST_CASE("X4: as long as there is no cursor no frame is buffered") {
  intake_rig rig;
  kv::write w{.key = source, .value = "9"};
  w.headers.push_back({"writer", "another"});
  const auto written = rig.run(rig.raw.update(std::move(w)));
  REQUIRE(written.has_value());
  const auto refused = rig.take(commit(101));
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == errc::lease_lost);
  CHECK(rig.buffer().empty());
}

TEST_CASE("X5: when the source counts from lower numbers, those of before mean nothing any more") {
  intake_rig rig;
  rig.takes(commit(5001));
  rig.takes(notice_of(frame::notice::renumbered));
  CHECK_FALSE(rig.at.value());
  CHECK_FALSE(rig.settled());  // 5001 would be ahead of everything that is still to come
  rig.takes(commit(3));
  CHECK(rig.key().value == "2");
  CHECK(rig.key().header_value("epoch") == "1");
  CHECK(rig.last().header_value("epoch") == "1");
  CHECK(rig.settled() == 3);
}

TEST_CASE("X18: in place of an unreadable frame its account's marker is buffered") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.takes(commit(41));
  rig.takes(unreadable(alice));
  CHECK(rig.buffer() == words{"frame", unreadable_marker()});
  check_marker(rig.last(), event_kind::unreadable, "41");
  CHECK(rig.markers("unreadable") == 1);
  CHECK(rig.settled() == 41);
}

TEST_CASE("X18: an unreadable frame of nobody known is only counted") {
  intake_rig rig;
  rig.takes(commit(41));
  rig.takes(unreadable(""));
  CHECK(rig.buffer() == words{"frame"});
  CHECK(rig.markers("unreadable_unknown") == 1);
  CHECK(rig.intake->buffered() == 1);
}

TEST_CASE("X18: a marker before the first readable frame of a run does not set the cursor back") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.takes(unreadable(alice));
  check_marker(rig.last(), event_kind::unreadable, "40");
  CHECK(rig.settled() == 40);
}

TEST_CASE("X18: a marker before the first readable frame of another place does not bring the cursor forward") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.takes(commit(500));
  rig.intake->begin();  // the buffer was lost, and it is read again from the cursor
  rig.takes(unreadable(alice));
  check_marker(rig.last(), event_kind::unreadable, "40");
}

TEST_CASE("X18: before there is a cursor the marker of an unreadable frame waits for the first number") {
  intake_rig rig;
  rig.takes(unreadable(alice));
  rig.takes(unreadable(""));
  CHECK(rig.buffer().empty());
  CHECK_FALSE(rig.at.value());
  rig.takes(commit(41));
  CHECK(rig.key().value == "40");
  CHECK(rig.buffer() == words{unreadable_marker(), "frame"});
  CHECK(rig.markers("unreadable") == 1);
  CHECK(rig.settled() == 41);
}

TEST_CASE("X4: a late frame is buffered as that, and brings the cursor neither back nor forward") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.takes(commit(43));
  rig.takes(late(42));
  CHECK(rig.buffer() == words{"frame", "late"});
  CHECK(rig.last().header_value("seq") == "43");
  CHECK(rig.last().header_value("late") == "1");
  CHECK(rig.settled() == 43);
}

TEST_CASE("a known type without a usable account is no new kind") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  auto f = commit(41);
  f.info = {.kind = event_kind::unknown, .seq = 41, .name = "bad_did"};
  rig.takes(std::move(f));
  CHECK(rig.counters.value("skipped", "bad_did") == 1);
  CHECK(rig.counters.value("skipped", "unknown") == 0);
  CHECK(rig.settled() == 41);
}

TEST_CASE("X18: in place of a frame that is too large for the buffer its account's marker is buffered") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.takes(commit(41, std::string(1001, 'x')));
  check_marker(rig.last(), event_kind::oversize, "41");
  CHECK(rig.markers("oversize") == 1);
  rig.takes(commit(42));
  CHECK(rig.buffer() == words{marker("oversize"), "frame"});
  CHECK(rig.settled() == 42);
}
