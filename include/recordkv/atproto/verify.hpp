// The verification of a commit or #sync, as a pure function of its bytes, the account's key and the time.
//
// Owns: the steps that need no stored state (com.atproto sync specification, "Validating commits"), and their words.
// Does not know: where a key comes from, stored state (stages/kv/apply.hpp does), threads. Pure, and safe on any
// thread.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/signature.hpp"
#include "recordkv/core/result.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace recordkv::atproto {

/// Does what decode_event() does, and the checks that need no key. Sets repo_event::proof for each commit and #sync of
/// a frame. The checks cost one walk down the tree per op. Jetstream events, markers and other kinds have no proof.
result<repo_event> decode_provable(std::string_view payload);

/// What one event is worth.
enum class verdict {
  proven,         ///< signature and tree agree with the event
  unproven,       ///< events of this kind, or from this kind of source, carry no proof
  bad_signature,  ///< not signed with this key: no effect on the account, whatever the event says
  discontinuity,  ///< signed by the account, but its tree does not prove its ops: the account is to be marked (X14)
};
std::string_view name(verdict v) noexcept;

/// Judges an event that decode_provable() has returned, by its signature and its proof.
verdict verify(const repo_event& e, const public_key& key);

/// The specifications demand that a rev from the future is refused. They do not say how far ahead a clock may be.
inline constexpr std::chrono::minutes clock_tolerance{5};
/// Whether a rev is from the future. If such a rev were accepted, every later commit of its account would look older.
bool from_the_future(std::string_view rev, std::chrono::system_clock::time_point now) noexcept;

}  // namespace recordkv::atproto
