// The table of configuration keys: one row each, from which everything else about a key follows.
//
// Owns: a key's name, its place in `config` (whose type decides what may be written), its bounds, and whether its
// feature exists yet.
// Does not know: where values come from, TOML, how they are shown. Its default is whatever `config{}` holds.
#pragma once

#include "recordkv/config.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace recordkv::settings {

using milliseconds = std::chrono::milliseconds;

/// Where a key's value stands in `config`.
using place = std::variant<std::string& (*)(config&), bool& (*)(config&), int& (*)(config&), unsigned& (*)(config&),
                           std::int64_t& (*)(config&), std::uint64_t& (*)(config&), milliseconds& (*)(config&),
                           std::vector<std::string>& (*)(config&)>;

/// What is wrong with one key of a merged configuration; empty: nothing.
using check = std::string (*)(const config&);

enum class support {
  ready,    ///< has its effect
  to_come,  ///< no effect yet: a value other than the default is accepted with a warning
};

struct key_row {
  std::string_view name;
  place at;
  std::int64_t min = 0;  ///< integers, sizes (bytes) and durations (ms), inclusive
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  bool bytes = false;        ///< an integer that may also be written "256MB"
  std::string_view choices;  ///< "file|memory": the only texts allowed
  support is = support::ready;
  std::string_view only;    ///< the only value supported so far, as TOML; to ignore another would be unsafe
  std::string_view remedy;  ///< the error when the value is not `only`
  check wrong = nullptr;
  bool secret = false;  ///< never shown
  bool bare = false;    ///< text that may also be written as a number or a date, without quotes
};

/// All keys, in the order in which `config show` prints them.
std::span<const key_row> all_keys() noexcept;

/// The row of "section.key"; nullptr when there is none.
const key_row* find_key(std::string_view name) noexcept;

/// True for "nats", "kv", and so on.
bool is_section(std::string_view name) noexcept;

/// The known key or section that was probably meant; empty: none is near.
std::string nearest_key(std::string_view wrong);
std::string nearest_section(std::string_view wrong);

/// "nats.sync_interval" is RECORDKV_NATS_SYNC_INTERVAL in the environment.
std::string variable_of(std::string_view name);

}  // namespace recordkv::settings
