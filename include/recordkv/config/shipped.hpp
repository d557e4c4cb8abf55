// The views and the configuration that ship with the program, compiled in, so that it works from any directory.
//
// Owns: their names, which begin with "builtin:". Refuses to know: what stands in them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::shipped {

/// The beginning of a name of something that ships: "builtin:likes".
inline constexpr std::string_view prefix = "builtin:";

/// The configuration of `recordkv up` without a configuration file.
inline constexpr std::string_view quickstart = "builtin:quickstart";

/// The names of the views that match "builtin:PATTERN", in their order; * and ? as in a shell.
std::vector<std::string> views_matching(std::string_view pattern);

/// The text of "builtin:NAME": a view's file or the quickstart. nullopt: nothing that ships has that name.
std::optional<std::string_view> text_of(std::string_view name) noexcept;

/// config/recordkv.toml: every key, its default, its meaning.
std::string_view reference_configuration() noexcept;

}  // namespace recordkv::shipped
