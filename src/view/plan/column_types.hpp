// The types that a column may have: one row each.
//
// Owns: a type's name in a view file, and how a value of it is read from JSON, from TOML and from text.
// Does not know: SQL (sql/column_sql.hpp), and what becomes of a value of another type.
#pragma once

#include "recordkv/view/plan.hpp"

#include <toml++/toml.h>
#include <boost/json/value.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace recordkv::view {

struct column_type_traits {
  column_type type;
  std::string_view name;
  std::string_view expected;  ///< what a text must be to be a value of it: "an integer"
  /// What `cell` holds, and what a database gives back.
  enum class storage { text, integer, real, boolean } stored;
  bool indexable;  ///< it has an order: it may stand in an index, and be counted by
  bool bounded;    ///< its text is the record's own: an index bounds its length, and it may be an AT-URI

  /// A value that is written as text: in a condition, in a fact about a record. nullopt: not of this type.
  std::optional<cell> (*from_text)(std::string_view);
  /// A value of a record. NULL: not of this type; `flaw` may say more. nullptr: a JSON string is read by from_text().
  cell (*from_json)(const boost::json::value&, std::string_view& flaw);
  /// A value of a view file. nullptr: a TOML string is read by from_text().
  std::optional<cell> (*from_toml)(const toml::node&);
};

const column_type_traits& traits_of(column_type t) noexcept;
std::span<const column_type_traits> all_column_types() noexcept;

/// "text, integer, …", for messages.
std::string column_type_names();

inline constexpr std::string_view zero_flaw = "holds U+0000, which a database cannot keep";

}  // namespace recordkv::view
