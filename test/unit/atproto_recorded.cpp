// Recorded and generated streams, event by event. They hold real people's posts: failures name an index or a CID, and
// comparisons are made outside of assertions, which would print both sides.
#include "atproto_support.hpp"
#include "recordkv/atproto/car.hpp"
#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/frame.hpp"

#include <sstream>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

namespace json = boost::json;

std::string text(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string{};
}

/// Compares one change with the Jetstream v1 event that it became.
bool same(const repo_event& event, const record_change& change, const json::object& expected) {
  const auto& c = expected.at("commit").as_object();
  if (event.did != text(expected, "did") || event.rev != text(c, "rev")) return false;
  if (change.collection != text(c, "collection") || change.rkey != text(c, "rkey")) return false;
  if (name(change.what) != text(c, "operation") || change.cid != text(c, "cid")) return false;
  const auto* record = c.if_contains("record");
  if (record == nullptr) return change.json.empty();
  return json::parse(change.json) == *record;
}

}  // namespace

TEST_CASE("recorded: 102 frames become the 104 events that a Jetstream server made of them") {
  const std::string folder = "bluesky-social__jetstream/firehose/";
  const auto frames = test::fixture_frames(folder + "frames.bin");
  const auto lines = test::fixture_lines(folder + "expected_v1.jsonl");
  REQUIRE(frames.size() == 102);
  REQUIRE(lines.size() == 104);
  std::size_t line = 0, records = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    INFO("frame " << i << ", line " << line);
    const auto event = decode_event(frames[i]);
    REQUIRE(event.has_value());
    const auto seen = summarise_frame(frames[i]);
    REQUIRE(seen.has_value());
    CHECK((seen->kind == event->kind && seen->seq == event->seq && seen->did == event->did));
    if (event->kind != event_kind::commit) {
      const auto expected = json::parse(lines.at(line++)).as_object();
      CHECK(text(expected, "kind") == (event->kind == event_kind::account ? "account" : "identity"));
      CHECK((text(expected, "did") == event->did));
      if (event->kind == event_kind::account) {
        CHECK((expected.at("account").at("active").as_bool() == event->active));
      }
    }
    for (const auto& change : event->changes) {
      const auto expected = json::parse(lines.at(line++)).as_object();
      CHECK(change.flaw == record_flaw::none);
      CHECK((std::ranges::count(seen->collections, change.collection) == 1));
      const bool equal = same(*event, change, expected);
      CHECK(equal);
      if (!change.json.empty()) {
        ++records;
        const bool again = *cid_of_json(change.json) == change.cid;
        CHECK(again);
      }
      // The other wire says the same, down to the bytes of the record.
      const auto other = decode_event(lines.at(line - 1));
      REQUIRE(other.has_value());
      const bool identical = other->changes.at(0).json == change.json && other->changes.at(0).cid == change.cid;
      CHECK(identical);
    }
  }
  CHECK(line == lines.size());
  CHECK(records > 90);
}

TEST_CASE("recorded: the index agrees") {
  const std::string folder = "bluesky-social__jetstream/firehose/";
  const auto frames = test::fixture_frames(folder + "frames.bin");
  const auto rows = test::fixture_lines(folder + "index.tsv");
  REQUIRE(rows.size() == frames.size() + 1);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    INFO("frame " << i);
    std::istringstream row(rows[i + 1]);
    std::string index, seq, type, did, rev;
    for (auto* column : {&index, &seq, &type, &did, &rev}) std::getline(row, *column, '\t');
    const auto event = decode_event(frames[i]);
    REQUIRE(event.has_value());
    CHECK((std::to_string(event->seq) == seq && event->did == did && kind_of(type) == event->kind));
    if (event->kind == event_kind::commit) CHECK((event->rev == rev));
  }
}

namespace {

void check_v1(const char* file) {
  const auto lines = test::fixture_lines(file);
  CHECK(lines.size() == 10);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    INFO(file << " line " << i);
    const auto expected = json::parse(lines[i]).as_object();
    const auto event = decode_event(lines[i]);
    const auto seen = summarise_jetstream(lines[i]);
    REQUIRE(event.has_value());
    REQUIRE(seen.has_value());
    const auto* cursor = expected.if_contains("cursor");
    const auto& place = cursor != nullptr ? *cursor : expected.at("time_us");
    CHECK(event->seq == place.to_number<std::uint64_t>());
    CHECK((seen->seq == event->seq && seen->kind == event->kind && seen->did == event->did));
    if (event->kind != event_kind::commit) {
      CHECK((event->did == text(expected, "did")));
      continue;
    }
    REQUIRE(event->changes.size() == 1);
    CHECK(event->changes[0].flaw == record_flaw::none);
    const bool equal = same(*event, event->changes[0], expected);
    CHECK(equal);
    if (!event->changes[0].json.empty()) {
      const bool cid = *cid_of_json(event->changes[0].json) == event->changes[0].cid;
      CHECK(cid);
    }
  }
}

/// The same ten events in version 2 as in version 1, and four more frames.
void check_v2(const char* file, const char* file_v1) {
  const auto lines = test::fixture_lines(file);
  const auto v1 = test::fixture_lines(file_v1);
  REQUIRE(lines.size() == 14);
  for (std::size_t i = 0; i < 10; ++i) {
    INFO("line " << i);
    const auto event = decode_event(lines[i]);
    const auto old = decode_event(v1[i]);
    REQUIRE(event.has_value());
    REQUIRE(old.has_value());
    CHECK((event->kind == old->kind && event->did == old->did && event->rev == old->rev));
    CHECK(event->changes.size() == old->changes.size());
    for (std::size_t c = 0; c < event->changes.size(); ++c) {
      const bool equal = event->changes[c].json == old->changes[c].json && event->changes[c].cid == old->changes[c].cid;
      CHECK(equal);
    }
  }
  CHECK(decode_event(lines[10])->kind == event_kind::sync);
  CHECK(decode_event(lines[11])->kind == event_kind::info);
  CHECK(summarise_jetstream(lines[11])->name == "OutdatedCursor");
  CHECK(summarise_jetstream(lines[12])->kind == event_kind::unknown);
  CHECK(summarise_jetstream(lines[13]).error().code == errc::too_slow);
}

}  // namespace

TEST_CASE("fixtures: Jetstream v1 events") { check_v1("_derived/jetstream/invented_v1.jsonl"); }
TEST_CASE("fixtures: Jetstream v1 events with a cursor") {
  check_v1("_derived/jetstream/invented_v1_with_cursor.jsonl");
}
TEST_CASE("recorded: Jetstream v1 events") { check_v1("bluesky-social__jetstream/v1-json/golden_v1.jsonl"); }
TEST_CASE("recorded: Jetstream v1 events with a cursor") { check_v1("_derived/jetstream/v1_with_cursor.jsonl"); }
TEST_CASE("fixtures: Jetstream v2 frames") {
  check_v2("_derived/jetstream/invented_v2.jsonl", "_derived/jetstream/invented_v1.jsonl");
}
TEST_CASE("recorded: Jetstream v2 frames") {
  check_v2("_derived/jetstream/v2_frames.jsonl", "bluesky-social__jetstream/v1-json/golden_v1.jsonl");
}

TEST_CASE("fixtures: every frame of the signed chain is what its manifest says") {
  const std::string folder = "_derived/signed-chain/";
  const auto frames = test::fixture_frames(folder + "stream.bin");
  const auto manifest = test::fixture_json(folder + "manifest.json");
  REQUIRE(frames.size() == manifest.at("frames").as_array().size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto& row = manifest.at("frames").as_array()[i].as_object();
    const auto type = text(row, "type");
    INFO("frame " << i << " " << type);
    const auto seen = summarise_frame(frames[i]);
    const auto event = decode_event(frames[i]);
    if (type == "error") {
      CHECK(is_error_frame(seen.error().code));
      CHECK(is_error_frame(event.error().code));
      continue;
    }
    REQUIRE(seen.has_value());
    REQUIRE(event.has_value());
    CHECK(seen->kind == kind_of(type));
    CHECK(event->kind == kind_of(type));
    const auto* seq = row.if_contains("seq");
    CHECK(seen->seq == (seq != nullptr ? seq->to_number<std::uint64_t>() : 0));
    if (event->kind == event_kind::unknown || event->kind == event_kind::info) continue;
    CHECK(event->did == text(row, "did"));
    if (const auto rev = text(row, "rev"); !rev.empty()) CHECK(event->rev == rev);
    for (const auto& change : event->changes) CHECK(change.flaw == record_flaw::none);
  }
}

TEST_CASE("fixtures: malformed frames, as far as no signature or tree is needed") {
  // Read outside of assertions, inside which a skip would count as a failure.
  const auto read = [](std::string_view name) {
    return test::read_fixture(fmt::format("_derived/malformed/frame/{}", name));
  };
  const auto header_only = read("header-only.bin"), trailing = read("trailing-item.bin");
  CHECK(summarise_frame(header_only).error().text == "no_payload");
  CHECK(summarise_frame(trailing).error().text == "trailing");
  const auto unsorted = decode_event(read("record-map-keys-unsorted.bin"));
  REQUIRE(unsorted.has_value());
  REQUIRE(unsorted->changes.size() == 1);
  CHECK(unsorted->changes[0].flaw == record_flaw::malformed);
  // The other three are wrong in what they prove, not in their form.
  for (const char* file : {"sig-bit-flip.bin", "wrong-prevdata.bin", "ops-missing-one.bin"}) {
    INFO(file);
    const auto bytes = read(file);
    CHECK(summarise_frame(bytes).has_value());
    CHECK(decode_event(bytes).has_value());
  }
}

TEST_CASE("recorded: a payload from before Sync 1.1") {
  const auto header = test::cbor(R"({"t":"#commit","op":1})");
  const auto event = decode_event(header + test::read_fixture("sugyan__atrium/commit.cbor"));
  REQUIRE(event.has_value());
  CHECK(event->kind == event_kind::commit);
  CHECK(event->prev_data.empty());
  CHECK_FALSE(event->changes.empty());
  for (const auto& change : event->changes) CHECK(change.flaw == record_flaw::none);
}

namespace {

void check_signed_commit(const char* file) {
  INFO(file);
  const auto bytes = test::read_fixture(file);
  const auto blocks = car::read(bytes);
  REQUIRE(blocks.has_value());
  const auto head = read_signed_commit(blocks->find(blocks->root()));
  REQUIRE(head.has_value());
  CHECK(blocks->find(head->data).data() != nullptr);
}

}  // namespace

TEST_CASE("recorded: the signed commits of whole repositories") {
  check_signed_commit("bluesky-social__jetstream/repo-export/repo.car");
  check_signed_commit("at-microcosm__repo-stream/tiny.car");
  check_signed_commit("bluesky-social__indigo/car/greenground.repo.car");
}

TEST_CASE("fixtures: the signed commits of whole repositories") {
  check_signed_commit("at-microcosm__repo-stream/empty.car");
  check_signed_commit("_derived/signed-chain/car/alice-3mn7zsqnvus2b.car");
  const auto old = test::read_fixture("bluesky-social__indigo/car/fakermaker.repo.car");
  const auto blocks = car::read(old);
  REQUIRE(blocks.has_value());
  CHECK(read_signed_commit(blocks->find(blocks->root())).error().text == "commit_fields");  // version 2
}
