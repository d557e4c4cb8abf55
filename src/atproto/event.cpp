// The dispatch between wires, the names, and the hygiene of informal text.
//
// Owns: which first byte means what.
// Refuses to know: the wires themselves (frame_event.cpp, jetstream.cpp).
#include "recordkv/atproto/event.hpp"

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

std::string_view name(record_flaw f) noexcept {
  switch (f) {
    case record_flaw::none: return "none";
    case record_flaw::bad_path: return "bad_path";
    case record_flaw::missing_block: return "missing_block";
    case record_flaw::cid_mismatch: return "cid_mismatch";
    case record_flaw::malformed: return "malformed";
    case record_flaw::too_large: return "too_large";
  }
  return "unknown";
}

std::string shown(std::string_view text, std::size_t most) {
  std::string out(text.substr(0, most));
  std::ranges::replace_if(out, [](char c) { return c < 0x20 || c > 0x7E; }, '?');
  return out;
}

error stream_error(std::string_view name, std::string_view message) {
  auto text = shown(name, 64);
  if (!message.empty()) text += ": " + shown(message, 256);
  return {errc::refused, std::move(text)};
}

void note_collection(glance& g, std::string_view collection) {
  if (!is_nsid(collection) || std::ranges::find(g.collections, collection) != g.collections.end()) return;
  g.collections.emplace_back(collection);
}

void note_did(glance& g, std::string_view did) {
  const bool valid = is_did(did);
  if (valid && did.size() <= max_did && g.seq != 0) {
    g.did = did;
    return;
  }
  g.kind = event_kind::unknown;
  g.collections.clear();
  g.name = !valid ? "did" : g.seq == 0 ? "seq" : "did_too_long";
}

result<repo_event> decode_event(std::string_view payload) {
  if (payload.empty()) return fail(errc::malformed, "empty");
  if (payload.front() == '{') return decode_json(payload);
  if ((static_cast<unsigned char>(payload.front()) & 0xE0) == 0xA0) return decode_frame(payload);
  return fail(errc::malformed, "encoding");
}

}  // namespace recordkv::atproto
