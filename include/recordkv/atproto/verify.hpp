// The verification of a commit or #sync, as a pure function of its bytes, the account's key and the time.
//
// Owns: the steps that need no stored state (com.atproto sync specification, "Validating commits"), and their words.
// Does not know: where a key comes from, stored state (stages/kv/apply does), threads. Pure, and safe on any thread.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/signature.hpp"
#include "recordkv/core/result.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace recordkv::atproto {

/// decode_event(), and the checks that need no key: repo_event::proof is set for each commit and #sync of a frame. It
/// costs a walk down the tree per op. Jetstream events, markers and other kinds have no proof.
result<repo_event> decode_provable(std::string_view payload);

/// What one event is worth.
enum class verdict {
  proven,         ///< signature and tree agree with the event
  unproven,       ///< the event's kind or wire has no proof
  bad_signature,  ///< not signed with this key: no effect on the account, whatever else it says
  discontinuity,  ///< signed by the account, but its tree does not prove its ops: the account is to be marked (X14)
};
std::string_view name(verdict v) noexcept;

/// Checks the signature of an event of decode_provable().
verdict verify(const repo_event& e, const public_key& key);

/// The specifications demand that a rev from the future is refused, and do not say how much a clock may be ahead.
inline constexpr std::chrono::minutes clock_tolerance{5};
/// Whether a rev is from the future. If it were accepted, every later commit of its account would look older.
bool from_the_future(std::string_view rev, std::chrono::system_clock::time_point now) noexcept;

}  // namespace recordkv::atproto
