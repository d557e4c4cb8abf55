#include "statements.hpp"

#include <fmt/format.h>

namespace recordkv::view {
namespace {

/// Declared types. A timestamp and JSON are TEXT: SQLite would give a type it does not know numeric affinity and turn
/// a text such as "1.0" into 1. BOOLEAN is kept apart from INTEGER so that a look-up can read "true".
std::string_view declared(column_type t) {
  switch (t) {
    case column_type::integer: return "INTEGER";
    case column_type::real: return "REAL";
    case column_type::boolean: return "BOOLEAN";
    case column_type::text:
    case column_type::timestamp:
    case column_type::json: return "TEXT";
  }
  return "TEXT";
}

}  // namespace

std::string identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) out.append(c == '"' ? 2 : 1, c);
  return out + '"';
}

std::vector<std::string> create_statements(const plan& p) {
  std::string columns;
  for (const auto& c : p.columns)
    columns += fmt::format(", {} {}{}", identifier(c.name), declared(c.type), c.required ? " NOT NULL" : "");
  // The key comes first in every question about an account, and WITHOUT ROWID makes the table itself that index.
  std::vector<std::string> out{
      fmt::format("CREATE TABLE {} (did TEXT NOT NULL, collection TEXT NOT NULL, rkey TEXT "
                  "NOT NULL{}, PRIMARY KEY (did, collection, rkey)) WITHOUT ROWID",
                  identifier(p.name), columns)};
  for (const auto& c : p.columns)
    // The colon, which no name may hold, keeps "a_b" of view "x" and "b" of view "x_a" apart.
    if (c.index)
      out.push_back(fmt::format("CREATE INDEX {} ON {} ({})", identifier(fmt::format("{}:{}", p.name, c.name)),
                                identifier(p.name), identifier(c.name)));
  return out;
}

std::string upsert_statement(const plan& p) {
  std::string names;
  std::string marks;
  std::string sets;
  for (const auto& c : p.columns) {
    const auto name = identifier(c.name);
    names += fmt::format(", {}", name);
    marks += ", ?";
    sets += fmt::format("{}{} = excluded.{}", sets.empty() ? "" : ", ", name, name);
  }
  return fmt::format(
      "INSERT INTO {} (did, collection, rkey{}) VALUES (?, ?, ?{}) ON CONFLICT (did, collection, rkey) DO UPDATE SET "
      "{}",
      identifier(p.name), names, marks, sets);
}

std::string erase_statement(const plan& p) {
  return fmt::format("DELETE FROM {} WHERE did = ? AND collection = ? AND rkey = ?", identifier(p.name));
}

std::string drop_statement(const plan& p) { return fmt::format("DROP TABLE IF EXISTS {}", identifier(p.name)); }

}  // namespace recordkv::view
