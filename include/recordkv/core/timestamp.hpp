// Times as text, in the form of all wire formats: RFC 3339 in UTC.
//
// Owns: that form, and reading the system's clock.
// Does not know: other time zones; a text that does not end in Z is not read.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv {

/// Now, with milliseconds: 2026-11-23T12:00:00.123Z.
std::string timestamp_now();

/// Seconds since 1970 as text, with microseconds: 2026-11-23T12:00:00.123456Z. Empty for a time that no calendar has.
std::string timestamp_of(double epoch_seconds);

/// Seconds since 1970, with their fraction; nullopt if the text is no such time.
std::optional<double> epoch_seconds(std::string_view stamp) noexcept;

/// Whole seconds since 1970, as states and other lasting values keep a time.
inline std::int64_t seconds_since_1970(std::chrono::system_clock::time_point t) {
  return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count();
}

/// How long ago that was, by this machine's clock; negative for a future time.
std::optional<double> seconds_since(std::string_view stamp);

}  // namespace recordkv
