// The views and the configuration that ship with the program, compiled in, so that it works from any directory.
//
// Owns: their names, which begin with "builtin:". Does not know: their content.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::shipped {

/// The prefix of names that mean a shipped file: "builtin:likes".
inline constexpr std::string_view prefix = "builtin:";

/// The configuration of `recordkv up` if none is given.
inline constexpr std::string_view quickstart = "builtin:quickstart";

/// The names of the shipped views that "builtin:PATTERN" means, in order; * and ? as in a shell.
std::vector<std::string> views_matching(std::string_view pattern);

/// The text of "builtin:NAME": a view's file or the quickstart. nullopt: no shipped file has that name.
std::optional<std::string_view> text_of(std::string_view name) noexcept;

/// config/recordkv.toml: every key, its default, its meaning.
std::string_view reference_configuration() noexcept;

}  // namespace recordkv::shipped
