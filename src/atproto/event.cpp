// The dispatch between wires, the names, and the cleaning of informal text.
//
// Owns: which first byte means what.
// Does not know: the wires themselves (frame_event.cpp, jetstream.cpp).
#include "recordkv/atproto/event.hpp"
#include "recordkv/core/foreign_text.hpp"

#include "decode.hpp"
#include "recordkv/atproto/frame.hpp"
#include "recordkv/atproto/syntax.hpp"

#include <algorithm>

namespace recordkv::atproto {

std::string_view name(action a) noexcept {
  switch (a) {
    case action::create: return "create";
    case action::update: return "update";
    case action::remove: return "delete";
  }
  return "unknown";
}

std::optional<action> action_named(std::string_view word) noexcept {
  for (const auto a : {action::create, action::update, action::remove})
    if (name(a) == word) return a;
  return std::nullopt;
}

std::string_view name(record_flaw f) noexcept {
  switch (f) {
    case record_flaw::none: return "none";
    case record_flaw::bad_path: return "bad_path";
    case record_flaw::missing_block: return "missing_block";
    case record_flaw::cid_mismatch: return "cid_mismatch";
    case record_flaw::malformed: return "malformed";
    case record_flaw::number: return "float";
    case record_flaw::too_large: return "too_large";
  }
  return "unknown";
}

error stream_error(std::string_view name, std::string_view message) {
  auto text = printable(name, 64);
  if (!message.empty()) text += ": " + printable(message, 256);
  const auto code = name == "FutureCursor"      ? errc::cursor_ahead
                    : name == "ConsumerTooSlow" ? errc::too_slow
                                                : errc::refused;
  return {code, std::move(text)};
}

record_flaw flaw_for(const error& why) noexcept {
  if (why.code == errc::too_large) return record_flaw::too_large;
  return why.text == "float" ? record_flaw::number : record_flaw::malformed;
}

bool take_path(record_change& change, std::string_view collection, std::string_view rkey) {
  if (is_nsid(collection)) change.collection = collection;  // also of a bad path: it says which collection is affected
  if (!change.collection.empty() && is_rkey(rkey)) {
    change.rkey = rkey;
    return true;
  }
  change.flaw = record_flaw::bad_path;
  return false;
}

void note_collection(frame_summary& g, std::string_view collection) {
  if (!is_nsid(collection) || std::ranges::find(g.collections, collection) != g.collections.end()) return;
  g.collections.emplace_back(collection);
}

void note_did(frame_summary& g, std::string_view did) {
  const bool valid = is_did(did), storable = valid && did.size() <= max_did;
  if (storable) g.did = did;
  if (storable && g.seq != 0) return;
  g.kind = event_kind::unknown;
  g.collections.clear();
  g.name = !valid ? "bad_did" : storable ? "seq" : "did_too_long";
}

repo_event undecoded(std::string_view payload, const error& why) {
  repo_event out;
  // The text of an error frame is the host's. Every other text is one of our words.
  out.reason = why.code == errc::malformed ? printable(why.text, 64) : std::string(name(why.code));
  const bool json = payload.starts_with('{');
  const auto seen = json ? summarise_jetstream(payload) : summarise_frame(payload);
  if (!seen || seen->did.empty()) return out;
  out.kind = event_kind::unreadable;
  out.did = seen->did;
  return out;
}

result<repo_event> decode_payload(std::string_view payload, with_proof want) {
  if (payload.empty()) return fail(errc::malformed, "empty");
  if (payload.front() == '{') return decode_json(payload);
  if ((static_cast<unsigned char>(payload.front()) & 0xE0) == 0xA0) return decode_frame(payload, want);
  return fail(errc::malformed, "encoding");
}

result<repo_event> decode_event(std::string_view payload) { return decode_payload(payload, with_proof::no); }

}  // namespace recordkv::atproto
