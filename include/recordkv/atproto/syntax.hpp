// The identifiers of the AT Protocol, as syntax.
//
// Owns: DID, NSID, record key, TID, AT-URI checks on untrusted text.
// Does not know: resolution, and whether a thing exists. Sources: atproto.com specs (did, nsid, record-key, tid,
// at-uri-scheme); tested against atproto-interop-tests/syntax.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace recordkv::atproto {

bool is_did(std::string_view s) noexcept;   ///< ≤ 2048, no fragment, query or path
bool is_nsid(std::string_view s) noexcept;  ///< ≤ 317, at least three segments
bool is_rkey(std::string_view s) noexcept;  ///< 1–512 of [A-Za-z0-9_~.:-], not "." or ".."
bool is_tid(std::string_view s) noexcept;   ///< 13 of the base32-sortable alphabet
bool is_handle(std::string_view s) noexcept;

/// The time in a TID, in microseconds since 1970. Some writers count instead of using a clock: bridged accounts do.
std::int64_t tid_micros(std::string_view tid) noexcept;

/// The restricted AT-URI of records: at://<did or handle>[/<nsid>[/<rkey>]]. Views into the argument.
struct at_uri {
  std::string_view authority;
  std::string_view collection;  ///< empty when absent
  std::string_view rkey;        ///< empty when absent
};
std::optional<at_uri> parse_at_uri(std::string_view s) noexcept;

}  // namespace recordkv::atproto
