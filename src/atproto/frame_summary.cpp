// The summary of a frame, for its route.
//
// Owns: the walk that checks the form and finds seq, DID and collections.
// Does not know: records, CARs, and whether the event is valid; the KV stage judges that. A field of a wrong type
// counts as absent.
#include "decode.hpp"
#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/frame.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/foreign_text.hpp"
#include "recordkv/core/timestamp.hpp"

#include <utility>

namespace recordkv::atproto {

namespace {

using cbor::kind;

/// The walk over one op's fields; the reader stands on the op's first token.
bool read_op(cbor::reader& r, frame_summary& g) {
  if (r.what() != kind::map) return r.skip();
  for (auto left = r.count(); left != 0; --left) {
    r.next();
    const bool path = r.view() == "path";
    if (r.next() == kind::text && path) note_collection(g, r.view().substr(0, r.view().find('/')));
    if (!r.skip()) return false;
  }
  return true;
}

bool read_ops(cbor::reader& r, frame_summary& g) {
  if (r.what() != kind::array) return r.skip();
  const auto count = r.count();
  for (std::size_t i = 0; i < count; ++i) {
    r.next();
    // A commit beyond the limit is refused later. Here it must not cost a quadratic search.
    if (!(i < max_ops ? read_op(r, g) : r.skip())) return false;
  }
  return true;
}

/// What was read of the fields that matter. A repeated field makes the frame ambiguous.
struct fields_seen {
  bool has_seq = false, has_did = false, has_ops = false, has_time = false, twice = false;
  std::string_view did;
  std::string_view name;
  std::string_view message;
  std::string_view time;
  std::string_view rev;
};

/// The walk over the payload's fields. False when the payload is not well formed.
bool read_payload(cbor::reader& r, std::int64_t op, frame_summary& g, fields_seen& seen) {
  const std::string_view did_key = g.kind == event_kind::commit ? "repo" : "did";
  for (auto left = r.count(); left != 0; --left) {
    r.next();
    const auto key = r.view();
    const auto what = r.next();
    if (key == "ops" && g.kind == event_kind::commit) {
      seen.twice |= std::exchange(seen.has_ops, true);
      if (!read_ops(r, g)) return false;
      continue;
    }
    if (key == "seq") seen.twice |= std::exchange(seen.has_seq, true);
    if (key == "time") seen.twice |= std::exchange(seen.has_time, true);
    if (key == did_key) seen.twice |= std::exchange(seen.has_did, true);
    if (what == kind::integer && key == "seq" && r.integer() > 0) g.seq = static_cast<std::uint64_t>(r.integer());
    if (what == kind::text) {
      if (key == did_key) seen.did = r.view();
      if (key == (op == -1 ? "error" : "name")) seen.name = r.view();
      if (key == "message") seen.message = r.view();
      if (key == "time") seen.time = r.view();
      if (key == "rev") seen.rev = r.view();
    }
    if (!r.skip()) return false;
  }
  return true;
}

}  // namespace

result<frame_summary> summarise_frame(std::string_view bytes) {
  const auto parts = split_frame(bytes);
  if (!parts) return parts.error();
  frame_summary g;
  if (parts->op == 1) g.kind = kind_of(parts->type);
  cbor::reader r(parts->payload, cbor::key_order::any);
  const bool map = r.next() == kind::map;
  fields_seen seen;
  if (!(map ? read_payload(r, parts->op, g, seen) : r.skip())) return error{errc::malformed, std::string(r.flaw())};
  if (r.next() != kind::end) return fail(errc::malformed, "trailing");
  if (seen.twice) return fail(errc::malformed, "key_twice");

  if (parts->op == -1) return stream_error(seen.name, seen.message);
  if (g.kind == event_kind::unknown) return g;
  if (!map) return fail(errc::malformed, "payload");
  if (g.kind == event_kind::info) {
    g.seq = 0;
    g.name = printable(seen.name, 64);
  } else {
    note_did(g, seen.did);
    g.time = epoch_seconds(seen.time).value_or(0);
    if (is_tid(seen.rev)) g.rev_time = static_cast<double>(tid_micros(seen.rev)) / 1e6;
  }
  return g;
}

}  // namespace recordkv::atproto
