// A view's definition, compiled: what to take from a record and where it goes.
//
// Owns: the `[[view]]` table of a TOML file, its check, the extraction of a row from a record, its DDL.
// Refuses to know: databases' connections, NATS, positions. Pure.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace recordkv::view {

enum class column_type { text, integer, real, boolean, timestamp, json };

struct column {
  std::string name;
  std::string pointer;  ///< JSON pointer (RFC 6901) into the record
  column_type type = column_type::text;
  bool required = false;
  bool index = false;
};

/// A cell; monostate is SQL NULL.
using cell = std::variant<std::monostate, std::int64_t, double, std::string>;

struct plan {
  std::string name;        ///< view and table; [a-z][a-z0-9_]*, ≤ 48
  std::string collection;  ///< exactly this NSID
  std::vector<column> columns;
  std::string file;  ///< where it was defined, for messages
  unsigned line = 0;

  /// Changes whenever the rows it would produce, or their shape, change.
  std::string hash() const;
};

/// The cells of `columns` in order. nullopt: a required column is missing or of another type (no row for this record).
std::optional<std::vector<cell>> extract(const plan& p, std::string_view record_json);

/// All views of one file. A mistake is errc::bad_config with "file:line: key: what to do".
result<std::vector<plan>> load_plans(const std::string& file);

/// Runs the `[[view.test]]` rows of a file: one line of text per failure, empty when all pass.
result<std::vector<std::string>> check_plans(const std::string& file);

}  // namespace recordkv::view
