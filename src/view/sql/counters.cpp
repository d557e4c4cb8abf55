// Counters: a table (COLUMN, count) for each column that a view counts by. Triggers of the database keep them, so that
// counts follow every writer, also a hook, or a person at a shell.
#include "sql/statements.hpp"

#include <fmt/format.h>

namespace recordkv::view {
namespace {

/// What the statements of one counter name.
struct counter_names {
  std::string rows, counter, column;
};

counter_names names_of(const naming& n, std::size_t at) {
  return {identifier(n.rows()), identifier(n.counter(n.counted[at])), identifier(n.counted[at])};
}

/// SQLite: three triggers for each counter, run once for each row. "IS NOT" means "differs" for NULLs, too.
void add_sqlite(std::vector<std::string>& out, const naming& n, std::size_t at) {
  const auto [rows, counter, column] = names_of(n, at);
  const auto up = fmt::format(
      "INSERT INTO {0} ({1}, \"count\") SELECT new.{1}, 1 WHERE new.{1} IS NOT NULL "
      "ON CONFLICT ({1}) DO UPDATE SET \"count\" = \"count\" + 1;",
      counter, column);
  const auto down = fmt::format(
      "UPDATE {0} SET \"count\" = \"count\" - 1 WHERE {1} = old.{1}; DELETE FROM {0} WHERE {1} = old.{1} AND \"count\" "
      "<= 0;",
      counter, column);
  const auto add = [&](std::string_view what, std::string_view event, std::string_view when, const std::string& body) {
    out.push_back(fmt::format("CREATE TRIGGER {} AFTER {} ON {} WHEN {} BEGIN {} END", identifier(n.part(what, at)),
                              event, rows, when, body));
  };
  add("count_insert", "INSERT", fmt::format("new.{} IS NOT NULL", column), up);
  add("count_delete", "DELETE", fmt::format("old.{} IS NOT NULL", column), down);
  add("count_update", "UPDATE OF " + column, fmt::format("new.{0} IS NOT old.{0}", column), up + " " + down);
}

/// PostgreSQL: once for each statement, over the rows that it made and removed. The order by value makes two sessions
/// lock counters in the same order. An upsert is an insert and an update, each of its own rows.
void add_postgres(std::vector<std::string>& out, const naming& n, std::size_t at) {
  const auto [rows, counter, column] = names_of(n, at);
  const auto function = identifier(n.part("count", at));
  const auto moved = [&](std::string_view from) {
    return fmt::format(
        "INSERT INTO {0} ({1}, \"count\") SELECT {1}, sum(_by) FROM ({2}) AS moved WHERE {1} IS NOT NULL GROUP BY {1} "
        "HAVING sum(_by) <> 0 ORDER BY {1} ON CONFLICT ({1}) DO UPDATE SET \"count\" = {0}.\"count\" + "
        "excluded.\"count\"; ",
        counter, column, from);
  };
  const auto made = fmt::format("SELECT {}, 1 AS _by FROM made", column);
  const auto gone = fmt::format("SELECT {}, -1 AS _by FROM gone", column);
  const auto empty =
      fmt::format("DELETE FROM {0} WHERE \"count\" <= 0 AND {1} IN (SELECT {1} FROM gone); ", counter, column);
  out.push_back(
      fmt::format("CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS $recordkv$\n#variable_conflict "
                  "use_column\nBEGIN IF TG_OP = 'INSERT' THEN {} "
                  "ELSIF TG_OP = 'DELETE' THEN {} ELSE {} END IF; RETURN NULL; END $recordkv$",
                  function, moved(made), moved(gone) + empty, moved(made + " UNION ALL " + gone) + empty));
  const auto add = [&](std::string_view what, std::string_view event, std::string_view tables) {
    out.push_back(
        fmt::format("CREATE TRIGGER {} AFTER {} ON {} REFERENCING {} FOR EACH STATEMENT EXECUTE FUNCTION {}()",
                    identifier(n.part(what, at)), event, rows, tables, function));
  };
  add("count_insert", "INSERT", "NEW TABLE AS made");
  add("count_delete", "DELETE", "OLD TABLE AS gone");
  add("count_update", "UPDATE", "OLD TABLE AS gone NEW TABLE AS made");
}

}  // namespace

std::vector<std::string> fill_counters(const plan&, const naming& n) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < n.counted.size(); ++i) {
    const auto [rows, counter, column] = names_of(n, i);
    out.push_back(
        fmt::format("INSERT INTO {0} ({1}, \"count\") SELECT {1}, count(*) FROM {2} WHERE {1} IS NOT NULL GROUP BY {1} "
                    "ORDER BY {1}",
                    counter, column, rows));
  }
  return out;
}

std::vector<std::string> create_triggers(dialect d, const plan&, const naming& n) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < n.counted.size(); ++i)
    d == dialect::sqlite ? add_sqlite(out, n, i) : add_postgres(out, n, i);
  return out;
}

std::string counted_values(const plan& p, const naming& n) {
  std::string columns;
  for (const auto& c : n.counted) columns += (columns.empty() ? "" : ", ") + identifier(c);
  return fmt::format("SELECT {} FROM {} WHERE {}", columns, identifier(n.rows()), of_key(p));
}

std::string move_count(const naming& n, std::size_t at) {
  const auto [rows, counter, column] = names_of(n, at);
  return fmt::format(
      "INSERT INTO {0} ({1}, \"count\") VALUES ($1, $2) ON CONFLICT ({1}) DO UPDATE SET \"count\" = \"count\" + "
      "excluded.\"count\"",
      counter, column);
}

std::string erase_empty_count(const naming& n, std::size_t at) {
  const auto [rows, counter, column] = names_of(n, at);
  return fmt::format("DELETE FROM {} WHERE {} = $1 AND \"count\" <= 0", counter, column);
}

std::string any_foreign_trigger() {
  return "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name NOT GLOB 'recordkv_*' LIMIT 1";
}

std::vector<std::string> drop_triggers(dialect d, const naming& n) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < n.counted.size(); ++i) {
    if (d == dialect::postgres) {
      // The triggers depend on the function and go with it, also if their table is missing.
      out.push_back(fmt::format("DROP FUNCTION IF EXISTS {}() CASCADE", identifier(n.part("count", i))));
      continue;
    }
    for (const std::string_view what : {"count_insert", "count_delete", "count_update"})
      out.push_back("DROP TRIGGER IF EXISTS " + identifier(n.part(what, i)));
  }
  return out;
}

}  // namespace recordkv::view
