// Rules X4, X5 and X18: what a frame, or a notice in a frame's place, does to cursor and buffer.
#include "frame_router.hpp"

#include "publisher_rig.hpp"
#include "recordkv/kv/frame_batch.hpp"
#include "recordkv/kv/frame_origin.hpp"
#include "recordkv/kv/record_key.hpp"

using namespace recordkv;
using namespace recordkv::test;
using atproto::event_kind;
using firehose::frame;

namespace {

const std::string source = "firehose.relay/2Eexample";
const std::string alice = "did:plc:44ybard66vv44zksje25o7dz", bob = "did:plc:z72i7hdynmk6r22z27h6tvur";

frame commit(std::uint64_t seq, std::string bytes = "frame") {
  frame f;
  f.bytes = std::move(bytes);
  f.info.kind = event_kind::commit;
  f.info.seq = seq;
  f.info.did = alice;
  return f;
}

/// Of an account in another partition than alice.
frame commit_of_another(std::uint64_t seq, std::string bytes = "frame") {
  auto f = commit(seq, std::move(bytes));
  f.info.did = bob;
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

template <class... Frames>
std::vector<frame> frames_of(Frames... each) {
  std::vector<frame> out;
  (out.push_back(std::move(each)), ...);
  return out;
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
  result<void> take(std::vector<frame> frames) { return run(intake->take(std::move(frames))); }
  result<void> take(frame f) {
    std::vector<frame> one;
    one.push_back(std::move(f));
    return take(std::move(one));
  }
  template <class Frames>
  void takes(Frames f) {
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
  /// The messages of the buffer: what each vouches for, and the numbers of its frames, if it is a batch.
  words messages() {
    (void)buffer();
    words out;
    for (std::uint64_t from = 1;;) {
      const auto m = run(nats::next_message(nc, "ingest", "ingest.>", from));
      if (!m && m.error().code == errc::not_found) break;
      REQUIRE(m.has_value());
      from = m->seq + 1;
      auto text = std::to_string(kv::read_origin([&](const char* name) { return m->header_value(name); }).seq) + ":";
      if (kv::is_batch(m->data))
        for (const auto& f : *kv::frames_in(m->data)) text += " " + std::to_string(f.seq);
      out.push_back(text);
    }
    return out;
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
  CHECK(m.header_value("from") == fmt::format("{} 0 {}", source, seq));
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
  CHECK(rig.last().header_value("from") == source + " 1 3");
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
  CHECK(rig.last().header_value("from") == source + " 0 43 late");
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

TEST_CASE("X4: frames that came together share a message of their partition, which vouches for what is in the buffer") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.intake->begin();
  REQUIRE(kv::partition_of(alice) != kv::partition_of(bob));
  rig.takes(frames_of(commit(41), commit_of_another(42), commit(43), commit(45)));
  CHECK(rig.messages() == words{"41: 41 43 45", "45: 42"});
  CHECK(rig.intake->buffered() == 4);
  CHECK(rig.settled() == 45);
}

TEST_CASE("X4: a frame alone is buffered as it came") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.intake->begin();
  rig.takes(frames_of(commit(41), commit_of_another(42)));
  CHECK(rig.buffer() == words{"frame", "frame"});
  CHECK(rig.messages() == words{"41:", "42:"});
}

TEST_CASE("X4: the cursor does not pass a frame that waits for its message, although the filter drops what follows") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.intake->begin();
  auto unwanted = commit(43);
  unwanted.info = {.kind = event_kind::unknown, .seq = 43};
  rig.takes(commit_of_another(41));
  rig.takes(frames_of(commit(42), std::move(unwanted)));
  CHECK(rig.messages() == words{"41:", "43: 42"});
  rig.api("STREAM.MSG.DELETE.ingest", R"({"seq":1})");
  const auto now = std::chrono::steady_clock::now();
  REQUIRE(rig.mark.look(rig.info("ingest"), now));
  CHECK(rig.mark.durable(now, 0ms) == 41);
  CHECK(rig.settled() == 43);
}

TEST_CASE("X18: a notice goes into the buffer behind the frames that came before it") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.intake->begin();
  rig.takes(frames_of(commit(41), commit(42), unreadable(alice), commit(43), late(39)));
  CHECK(rig.messages() == words{"42: 41 42", "42:", "43:", "43:"});
  CHECK(rig.buffer().back() == "late");
}

TEST_CASE("X18: frames that are too large for one message together go one by one, and the last vouches for all") {
  intake_rig rig;
  rig.cursor_stands_at(40);
  rig.intake->begin();
  rig.takes(frames_of(commit(41, std::string(400, 'x')), commit(42, std::string(1001, 'x')), commit_of_another(43),
                      commit(44, std::string(400, 'x'))));
  CHECK(rig.messages() == words{"40: 41", "40:", "42: 44", "44: 43"});  // each with its number, the second is a marker
  CHECK(rig.markers("oversize") == 1);
  CHECK(rig.settled() == 44);
}
