#include "sql/statements.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace recordkv::view {
namespace {

/// "$1, $2, …"
std::string marks(std::size_t n) {
  std::string out;
  for (std::size_t i = 1; i <= n; ++i) out += fmt::format("{}${}", i == 1 ? "" : ", ", i);
  return out;
}

std::string names_of(const std::vector<table_column>& columns, bool key_only = false) {
  std::string out;
  for (const auto& c : columns)
    if (c.key || !key_only) out += (out.empty() ? "" : ", ") + identifier(c.name);
  return out;
}

std::string insert_into(const plan& p, const naming& n, std::string_view source) {
  const auto columns = table_columns(p);
  return fmt::format("INSERT INTO {} ({}) {}", identifier(n.rows()), names_of(columns),
                     source.empty() ? fmt::format("VALUES ({})", marks(columns.size())) : std::string(source));
}

}  // namespace

std::string of_key(const plan& p) {
  std::string out;
  int at = 1;
  for (const auto name : p.key_columns()) {
    out += fmt::format("{}{} = ${}", at == 1 ? "" : " AND ", identifier(name), at);
    ++at;
  }
  return out;
}

std::vector<table_column> table_columns(const plan& p) {
  std::vector<table_column> out;
  for (const auto name : p.key_columns()) out.push_back({.name = std::string(name), .required = true, .key = true});
  if (p.many()) out.push_back({.name = "idx", .type = column_type::integer, .required = true, .key = true});
  for (const auto& c : p.columns)
    out.push_back({.name = c.name, .type = c.type, .required = c.required, .hooks = c.from == origin::hooks});
  return out;
}

std::vector<std::string> create_tables(dialect d, const plan& p, const naming& n) {
  const auto columns = table_columns(p);
  std::string body;
  for (const auto& c : columns)
    // Hooks may set their columns to NULL, also those that are required when a row is made.
    body += fmt::format("{}{} {}{}", body.empty() ? "" : ", ", identifier(c.name), declared(d, c.type),
                        c.required && !c.hooks ? " NOT NULL" : "");
  std::vector<std::string> out{fmt::format("CREATE TABLE {} ({})", identifier(n.rows()), body)};
  const std::string_view inside = d == dialect::sqlite ? " WITHOUT ROWID" : "";  // the key is the table
  for (std::size_t i = 0; i < n.counted.size(); ++i) {
    const auto c = std::ranges::find(columns, n.counted[i], &table_column::name);
    const auto type = c == columns.end() ? column_type::text : c->type;
    out.push_back(
        fmt::format("CREATE TABLE {0} ({1} {2} NOT NULL, {5} bigint NOT NULL, CONSTRAINT {3} PRIMARY KEY ({1})){4}",
                    identifier(n.counter(n.counted[i])), identifier(n.counted[i]), declared(d, type),
                    identifier(n.part("counter", i)), inside, identifier("count")));
  }
  const auto text = declared(d, column_type::text);
  out.push_back(fmt::format(
      "CREATE TABLE {} (uri {} NOT NULL, reason {} NOT NULL, seq bigint NOT NULL, CONSTRAINT {} PRIMARY KEY (uri)){}",
      identifier(n.rejects()), text, text, identifier(n.part("rejects")), inside));
  return out;
}

std::vector<std::string> create_indexes(dialect, const plan& p, const naming& n) {
  const auto table = identifier(n.rows());
  std::vector<std::string> out{fmt::format("CREATE UNIQUE INDEX {} ON {} ({})", identifier(n.part("key")), table,
                                           names_of(table_columns(p), true))};
  for (std::size_t i = 0; i < p.indexes.size(); ++i) {
    std::string columns;
    for (const auto& c : p.indexes[i]) columns += (columns.empty() ? "" : ", ") + identifier(c);
    out.push_back(fmt::format("CREATE INDEX {} ON {} ({})", identifier(n.part("index", i)), table, columns));
  }
  return out;
}

std::vector<std::string> drop_tables(const naming& n) {
  std::vector<std::string> out;
  for (const auto& t : n.tables()) out.push_back("DROP TABLE IF EXISTS " + identifier(t));
  return out;
}

std::vector<std::string> rename_to_live(const naming& next) {
  naming live = next;
  live.live = true;
  const auto from = next.tables();
  const auto to = live.tables();
  std::vector<std::string> out;
  out.reserve(from.size());
  for (std::size_t i = 0; i < from.size(); ++i)
    out.push_back(fmt::format("ALTER TABLE {} RENAME TO {}", identifier(from[i]), identifier(to[i])));
  return out;
}

std::string append_row(const plan& p, const naming& n) { return insert_into(p, n, {}); }

std::string upsert_row(const plan& p, const naming& n, std::string_view source) {
  const auto columns = table_columns(p);
  std::string sets;
  for (const auto& c : columns)
    if (!c.key && !c.hooks)
      sets += fmt::format("{}{} = excluded.{}", sets.empty() ? "" : ", ", identifier(c.name), identifier(c.name));
  return fmt::format("{} ON CONFLICT ({}) DO {}{}", insert_into(p, n, source), names_of(columns, true),
                     sets.empty() ? "NOTHING" : "UPDATE SET ", sets);
}

std::string insert_row(const plan& p, const naming& n) {
  return fmt::format("{} ON CONFLICT ({}) DO NOTHING", insert_into(p, n, {}), names_of(table_columns(p), true));
}

std::string erase_rows(const plan& p, const naming& n) {
  return fmt::format("DELETE FROM {} WHERE {}", identifier(n.rows()), of_key(p));
}

std::string trim_rows(const plan& p, const naming& n) {
  return fmt::format("{} AND idx >= ${}", erase_rows(p, n), p.key_columns().size() + 1);
}

std::string put_reject(const naming& n) {
  return fmt::format(
      "INSERT INTO {} (uri, reason, seq) VALUES ($1, $2, $3) ON CONFLICT (uri) DO UPDATE SET reason = excluded.reason, "
      "seq = excluded.seq",
      identifier(n.rejects()));
}

std::string erase_reject(const naming& n) {
  return fmt::format("DELETE FROM {} WHERE uri = $1", identifier(n.rejects()));
}

std::string same_reject(const naming& n) {
  return fmt::format("SELECT 1 FROM {} WHERE uri = $1 AND seq = $2", identifier(n.rejects()));
}

std::string any_reject(const naming& n) { return fmt::format("SELECT 1 FROM {} LIMIT 1", identifier(n.rejects())); }

std::string list_rejects(const naming& n) {
  return fmt::format("SELECT uri, reason, seq FROM {} ORDER BY seq, uri LIMIT $1", identifier(n.rejects()));
}

}  // namespace recordkv::view
