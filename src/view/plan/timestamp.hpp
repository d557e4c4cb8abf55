// The time that an author wrote, in a form that sorts as text: UTC with microseconds.
//
// Owns: reading RFC 3339 with any zone, as atproto's `datetime` allows it.
// Does not know: the clock, and columns. (core/timestamp.hpp is for our own times, which are in UTC already.)
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace recordkv::view {

/// "2024-11-05T12:00:00.000000Z". Digits beyond microseconds are cut off. Second 60 is the first of the next minute.
/// nullopt: no RFC 3339 with upper-case T and Z, or not within the years 0001 to 9999 in UTC.
std::optional<std::string> utc_microseconds(std::string_view s);

}  // namespace recordkv::view
