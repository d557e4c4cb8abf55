// One line per event, on standard error, as text or JSON.
//
// Owns: level, format, the sink (tests replace it and check lines).
// Does not know: the callers; every line names its part itself ("kv", "ingest", "nats").
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

namespace recordkv::log {

enum class level { debug, info, warn, error };
enum class format { text, json };

void set_level(level least) noexcept;
void set_format(format f) noexcept;
bool enabled(level l) noexcept;

/// Replaces standard error; an empty function restores it. For tests. Not thread-safe.
using sink = std::function<void(level, std::string_view part, std::string_view text)>;
void set_sink(sink s);

/// Writes one line. Thread-safe (one write(2) a line).
void line(level l, std::string_view part, std::string_view text);

template <class... Args>
void debug(std::string_view part, fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(level::debug)) line(level::debug, part, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(std::string_view part, fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(level::info)) line(level::info, part, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warn(std::string_view part, fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(level::warn)) line(level::warn, part, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void error(std::string_view part, fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(level::error)) line(level::error, part, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace recordkv::log
