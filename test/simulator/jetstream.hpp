// One event as Jetstream v1 JSON.
//
// Owns: the event's text.
// Does not know: sockets, cursors, what the event means to the world.
#pragma once

#include "world.hpp"

#include <string>
#include <string_view>

namespace recordkv::sim {

/// Where the DID stands in every event's text; filters read it there.
inline constexpr std::size_t did_at = 8;

/// Appends event `n` of the step (an op of a commit; identity and account steps have only n = 0).
void append_jetstream(std::string& out, const step& s, std::size_t n, std::string_view did);

}  // namespace recordkv::sim
