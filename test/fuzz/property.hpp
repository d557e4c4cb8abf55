// What fuzz targets demand.
//
// Owns: the way to fail loudly, and what every decoded event must be, whatever it was decoded from.
// Does not know: the wires.
#pragma once

#include "recordkv/atproto/cid.hpp"
#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/json.hpp"
#include "recordkv/atproto/syntax.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#define DEMAND(what) ((what) ? void() : recordkv::fuzz::broken(#what, __FILE__, __LINE__))

namespace recordkv::fuzz {

[[noreturn]] inline void broken(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  std::abort();
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline bool printable(std::string_view s) {
  return s.size() <= 64 && std::ranges::all_of(s, [](char c) { return c >= 0x20 && c < 0x7F; });
}

/// Nothing of an event that goes into a subject, a header or a log line may be out of bounds.
inline void demand_sound(const atproto::repo_event& e) {
  using atproto::event_kind;
  DEMAND(printable(e.time) && printable(e.status) && printable(e.reason));
  DEMAND(e.rev.empty() || atproto::is_tid(e.rev));
  DEMAND(e.since.empty() || atproto::is_tid(e.since));
  if (e.kind == event_kind::info || e.kind == event_kind::unknown) {
    DEMAND(e.did.empty() && e.changes.empty());
    return;
  }
  DEMAND(atproto::is_did(e.did) && e.did.size() <= 512);
  DEMAND(e.kind == event_kind::commit || e.changes.empty());
  for (const auto& c : e.changes) {
    DEMAND(c.cid.empty() || atproto::cid_from_text(c.cid).has_value());
    if (c.flaw == atproto::record_flaw::bad_path) {
      DEMAND((c.collection.empty() || atproto::is_nsid(c.collection)) && c.rkey.empty());
    } else {
      DEMAND(atproto::is_nsid(c.collection) && atproto::is_rkey(c.rkey));
    }
    const bool has_record = c.what != atproto::action::remove && c.flaw == atproto::record_flaw::none;
    DEMAND(c.json.empty() != has_record);
    if (!has_record) continue;
    const auto bytes = atproto::cbor_of_json(c.json);
    DEMAND(bytes.has_value());
    DEMAND(*atproto::json_of(*bytes) == c.json);
    DEMAND(atproto::cid_text_of(*bytes) == c.cid);
  }
}

}  // namespace recordkv::fuzz
