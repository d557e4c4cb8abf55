#include "sql/column_sql.hpp"

#include <fmt/format.h>

#include <array>

namespace recordkv::view {
namespace {

struct sql_row {
  column_type type;
  std::string_view sqlite;           // TEXT where SQLite has no such type: it would turn the text "1.0" into 1
  std::string_view postgres;         // declared
  std::string_view value;            // PostgreSQL: the type of one value
  std::string_view shown = "{}";     // PostgreSQL: the column in the form of `cell`
  std::string_view compared = "{}";  // PostgreSQL: the column beside such a value
};

constexpr std::string_view in_utc = R"(to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))";

/// In the order of column_type. PostgreSQL's text is COLLATE "C": its order is that of the bytes, as in SQLite.
constexpr std::array<sql_row, 6> rows{{
    {.type = column_type::text, .sqlite = "TEXT", .postgres = R"(text COLLATE "C")", .value = "text"},
    {.type = column_type::integer, .sqlite = "INTEGER", .postgres = "bigint", .value = "bigint"},
    {.type = column_type::real, .sqlite = "REAL", .postgres = "double precision", .value = "double precision"},
    {.type = column_type::boolean, .sqlite = "BOOLEAN", .postgres = "boolean", .value = "boolean"},
    {.type = column_type::timestamp,
     .sqlite = "TEXT",
     .postgres = "timestamptz",
     .value = "timestamptz",
     .shown = in_utc},
    {.type = column_type::json,
     .sqlite = "TEXT",
     .postgres = "json",
     .value = "json",
     .shown = "{}::text",
     .compared = "{}::text"},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (static_cast<std::size_t>(rows[i].type) != i) return false;
  return true;
}
static_assert(in_order());

const sql_row& row_of(column_type t) noexcept { return rows[static_cast<std::size_t>(t)]; }

}  // namespace

std::string identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) out.append(c == '"' ? 2 : 1, c);
  return out + '"';
}

std::string_view declared(dialect d, column_type t) noexcept {
  return d == dialect::sqlite ? row_of(t).sqlite : row_of(t).postgres;
}

std::string_view postgres_type(column_type t) noexcept { return row_of(t).value; }

std::string shown(dialect d, std::string_view column, column_type t) {
  auto name = identifier(column);
  return d == dialect::sqlite ? name : fmt::format(fmt::runtime(row_of(t).shown), name);
}

std::string compared(dialect d, std::string_view column, column_type t) {
  auto name = identifier(column);
  return d == dialect::sqlite ? name : fmt::format(fmt::runtime(row_of(t).compared), name);
}

}  // namespace recordkv::view
