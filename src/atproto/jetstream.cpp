// Jetstream's JSON, v1 and v2, and the markers that ingest writes.
//
// Owns: the two envelopes, and what they have in common.
// Does not know: proofs, because Jetstream has none. What the server says is believed, except bad syntax and a record
// that contradicts its own CID. A record is rewritten through its canonical CBOR, so that its text is the same as over
// the firehose.
#include "decode.hpp"
#include "jetstream_fields.hpp"
#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/cid.hpp"
#include "recordkv/atproto/frame.hpp"
#include "recordkv/atproto/json.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/foreign_text.hpp"
#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/timestamp.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>

#include <algorithm>
#include <chrono>

namespace recordkv::atproto {

namespace {

namespace json = boost::json;

constexpr std::size_t max_json_depth = cbor::max_depth + 4;  // the record inside its envelope, and links

/// Text that has been parsed, with the memory it lives in.
class document {
 public:
  explicit document(std::string_view text) : memory_(buffer_, sizeof buffer_), value_(json::storage_ptr(&memory_)) {
    json::parse_options options;
    options.max_depth = max_json_depth;
    boost::system::error_code ec;
    value_ = json::parse(text, ec, &memory_, options);
  }
  const json::object* root() const { return value_.if_object(); }  // null also when it isn't JSON

 private:
  unsigned char buffer_[16384];
  json::monotonic_resource memory_;
  json::value value_;
};

/// What both versions say, in one shape.
struct envelope {
  event_kind kind = event_kind::unknown;
  std::uint64_t seq = 0;
  std::uint64_t time_us = 0;  // v1
  std::string_view did;
  std::string_view time;               // v2
  const json::object* body = nullptr;  // the object with the kind's own fields; null when missing
};

event_kind kind_of_v1(std::string_view kind) {
  if (kind == "commit") return event_kind::commit;
  if (kind == "identity") return event_kind::identity;
  return kind == "account" ? event_kind::account : event_kind::unknown;
}

/// v2 names the kinds as the firehose does, behind the lexicon's name: "#commit".
std::string_view behind_name(std::string_view type) { return type.substr(std::min(type.find('#'), type.size())); }

envelope read_v1(const json::object& root) {
  envelope e;
  const auto kind = text_field(root, "kind");
  e.kind = kind_of_v1(kind);
  e.time_us = unsigned_field(root, "time_us");
  e.seq = unsigned_field(root, "cursor");
  if (e.seq == 0) e.seq = e.time_us;
  e.did = text_field(root, "did");
  e.body = object_field(root, kind);
  return e;
}

envelope read_v2(const json::object& payload) {
  envelope e;
  const auto type = behind_name(text_field(payload, "$type"));
  e.kind = kind_of(type);
  e.seq = unsigned_field(payload, "seq");
  e.did = text_field(payload, "did");
  e.time = text_field(payload, "time");
  const bool flat = e.kind == event_kind::commit || e.kind == event_kind::info;
  e.body = flat || type.empty() ? &payload : object_field(payload, type.substr(1));
  return e;
}

result<envelope> open(const json::object& root) {
  const auto type = text_field(root, "$type");
  if (type == "error") return stream_error(text_field(root, "error"), text_field(root, "message"));
  if (type != "message") return read_v1(root);
  const auto* payload = object_field(root, "payload");
  if (payload == nullptr) return fail(errc::malformed, "payload");
  return read_v2(*payload);
}

void put_digits(char* end, unsigned n, int digits) {
  for (; digits > 0; --digits, n /= 10) *--end = static_cast<char>('0' + n % 10);
}

/// 2026-07-04T12:00:00.123456Z. Digit by digit, because each event has one.
std::string as_time(std::uint64_t us) {
  using namespace std::chrono;
  const sys_time<microseconds> at{microseconds(static_cast<std::int64_t>(us))};
  const auto day = floor<days>(at);
  const year_month_day date(day);
  if (us == 0 || us > 253'402'300'799'999'999) return {};  // the end of the year 9999
  const hh_mm_ss clock(at - day);
  std::string out = "0000-00-00T00:00:00.000000Z";
  const auto put = [&](std::size_t end, auto n, int digits) {
    put_digits(out.data() + end, static_cast<unsigned>(n), digits);
  };
  put(4, static_cast<int>(date.year()), 4);
  put(7, static_cast<unsigned>(date.month()), 2);
  put(10, static_cast<unsigned>(date.day()), 2);
  put(13, clock.hours().count(), 2);
  put(16, clock.minutes().count(), 2);
  put(19, clock.seconds().count(), 2);
  put(26, clock.subseconds().count(), 6);
  return out;
}

/// `cid`: binary, as the event has it; empty: it has none.
void read_record(const json::object& body, std::string_view cid, record_change& change) {
  const auto* record = body.if_contains("record");
  if (record == nullptr || record->is_null()) {
    change.flaw = record_flaw::missing_block;
    return;
  }
  // 1.0 may stand for an integer or for a float; only the CID can tell.
  const auto bytes = cbor_of(*record, cid.empty() ? odd_integers::refuse : odd_integers::take);
  if (!bytes) {
    change.flaw = flaw_for(bytes.error());
    return;
  }
  if (!cid.empty() && cid_of(*bytes) != cid) {
    change.flaw = record_flaw::cid_mismatch;
    return;
  }
  auto text = json_of(*bytes);
  if (!text) {
    change.flaw = flaw_for(text.error());
    return;
  }
  change.json = std::move(*text);
  if (cid.empty()) change.cid = cid_text_of(*bytes);
}

/// The CID that a commit names, binary; empty where it names none. errc::malformed: it is not a CID.
result<std::string> read_cid(const json::object& body) {
  const auto* cid = body.if_contains("cid");
  if (cid == nullptr || cid->is_null()) return std::string();
  return cid_from_text(text_field(body, "cid"));
}

result<void> read_commit_body(const json::object& body, repo_event& out) {
  out.rev = text_field(body, "rev");
  if (!is_tid(out.rev)) return fail(errc::malformed, "rev");
  record_change change;
  const auto what = action_named(text_field(body, "operation"));
  if (!what) return fail(errc::malformed, "action");
  change.what = *what;
  const auto collection = text_field(body, "collection"), rkey = text_field(body, "rkey");
  if (!take_path(change, collection, rkey) || change.what == action::remove) {
    out.changes.push_back(std::move(change));
    return {};
  }
  const auto cid = read_cid(body);
  if (!cid) return cid.error();
  if (!cid->empty()) change.cid = text_field(body, "cid");
  read_record(body, *cid, change);
  out.changes.push_back(std::move(change));
  return {};
}

/// v2 wraps the firehose's #sync unchanged, its CAR as base64. Only the rev is used: an unproven sync makes the KV
/// stage fetch the repository anyway.
result<void> read_sync_body(const json::object& body, repo_event& out) {
  out.rev = text_field(body, "rev");
  return is_tid(out.rev) ? result<void>{} : fail(errc::malformed, "rev");
}

result<void> read_account_body(const json::object& body, repo_event& out) {
  const auto* active = body.if_contains("active");
  if (active == nullptr || !active->is_bool()) return fail(errc::malformed, "active");
  out.active = active->get_bool();
  out.status = printable(text_field(body, "status"), 64);
  return {};
}

result<repo_event> read_marker(const json::object& root, std::string_view marker) {
  repo_event out;
  if (marker == "oversize") {
    out.kind = event_kind::oversize;
  } else if (marker == "unreadable") {
    out.kind = event_kind::unreadable;
  } else {
    return fail(errc::malformed, "marker");
  }
  out.did = text_field(root, "did");
  out.reason = printable(text_field(root, "reason"), 64);
  if (!is_did(out.did)) return fail(errc::malformed, "bad_did");
  if (out.did.size() > max_did) return fail(errc::malformed, "did_too_long");
  out.rev = text_field(root, "rev");
  if (!out.rev.empty() && !is_tid(out.rev)) return fail(errc::malformed, "rev");
  out.seq = unsigned_field(root, "seq");
  return out;
}

result<repo_event> read_event(const envelope& e) {
  repo_event out;
  out.kind = e.kind;
  out.seq = e.seq;
  out.proofless = true;
  if (e.kind == event_kind::info || e.kind == event_kind::unknown) return out;
  if (e.seq == 0) return fail(errc::malformed, "seq");
  if (!is_did(e.did)) return fail(errc::malformed, "bad_did");
  if (e.did.size() > max_did) return fail(errc::malformed, "did_too_long");
  if (e.body == nullptr) return fail(errc::malformed, "payload");
  out.did = e.did;
  out.time = e.time.empty() ? as_time(e.time_us) : printable(e.time, 64);
  result<void> read;
  if (e.kind == event_kind::commit) read = read_commit_body(*e.body, out);
  if (e.kind == event_kind::sync) read = read_sync_body(*e.body, out);
  if (e.kind == event_kind::account) read = read_account_body(*e.body, out);
  if (!read) return read.error();
  return out;
}

/// Of v1, where `kind` says which object has the rest, and of v2, where all stands in `payload`.
result<frame_summary> summarise(const jetstream_fields& f) {
  const bool v2 = f.type == "message";
  if (f.type == "error") return stream_error(f.error, f.message);
  if (v2 && !f.payload.there) return fail(errc::malformed, "payload");
  const auto& body = v2 ? f.payload : f.commit;
  frame_summary g;
  g.kind = v2 ? kind_of(behind_name(f.payload.type)) : kind_of_v1(f.kind);
  g.seq = v2 ? f.payload.seq : f.cursor != 0 ? f.cursor : f.time_us;
  if (g.kind == event_kind::unknown) return g;
  if (g.kind == event_kind::info) {
    g.seq = 0;
    g.name = printable(body.name, 64);
    return g;
  }
  if (g.kind == event_kind::commit) {
    // Without a collection a filter cannot decide. As an unreadable event it marks its account as stale.
    if (body.collection.empty()) return fail(errc::malformed, "collection");
    note_collection(g, body.collection);
    if (is_tid(body.rev)) g.rev_time = static_cast<double>(tid_micros(body.rev)) / 1e6;
  }
  note_did(g, v2 ? body.did : f.did);
  const auto time = v2 ? std::string_view(body.time) : std::string_view();
  g.time = time.empty() ? static_cast<double>(v2 ? 0 : f.time_us) / 1e6 : epoch_seconds(time).value_or(0);
  return g;
}

}  // namespace

result<frame_summary> summarise_jetstream(std::string_view text) {
  const auto fields = read_jetstream_fields(text, max_json_depth);
  return fields ? summarise(*fields) : fail(errc::malformed, "json");
}

result<repo_event> decode_json(std::string_view text) {
  const document parsed(text);
  if (parsed.root() == nullptr) return fail(errc::malformed, "json");
  if (const auto marker = text_field(*parsed.root(), "marker"); !marker.empty())
    return read_marker(*parsed.root(), marker);
  const auto e = open(*parsed.root());
  if (!e) return e.error();
  return read_event(*e);
}

}  // namespace recordkv::atproto
