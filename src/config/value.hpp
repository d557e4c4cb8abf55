// Values of keys: from TOML into `config`, and from `config` into text.
//
// Owns: how durations, sizes and lists are written, in files and as bare words in the environment.
// Does not know: files, lines, precedence.
#pragma once

#include "keys.hpp"

#include <toml++/toml.h>

#include <optional>
#include <string>
#include <string_view>

namespace recordkv::settings {

/// Puts `value` in its place. Returns what is wrong and what to write instead, or nothing.
std::string assign(const key_row& key, config& into, const toml::node& value);

/// The text of a variable or a --set, read as TOML where that gives the key's type, else as the bare text itself.
/// The value is the table's only entry.
toml::table bare_value(const key_row& key, const std::string& text);

/// As TOML would write it: "2m" in quotes, 16, ["a", "b"]. Secrets and passwords in URLs are "***".
std::string shown(const key_row& key, const config& from);

/// The same with secrets, to compare with.
std::string written(const key_row& key, const config& from);

}  // namespace recordkv::settings
