// The SQL of a plan, in both dialects.
//
// Owns: the statements that name a table of a view, or table recordkv_builds, and so the shape of those tables.
// Does not know: connections, transactions, and when a statement runs. Names were checked when the plan was loaded,
// and are quoted all the same.
//
// Parameters are $1, $2 … in both dialects, in the order in which they are named here. They first appear in the text
// in that order, because SQLite numbers names so.
#pragma once

#include "sql/column_sql.hpp"
#include "sql/naming.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view {

/// The table's columns in their order: plan::key_columns(), idx where plan::many(), then the plan's.
struct table_column {
  std::string name;
  column_type type = column_type::text;
  bool required = false;
  bool key = false;
  bool hooks = false;  ///< set when a row is made, and not when it is written again
};
std::vector<table_column> table_columns(const plan& p);

// --- a build's tables (src/view/sql/statements.cpp) ---

/// The tables of a build, empty: rows without key and indexes, counters, rejects.
std::vector<std::string> create_tables(dialect d, const plan& p, const naming& n);

/// The key, then the secondary indexes.
std::vector<std::string> create_indexes(dialect d, const plan& p, const naming& n);

/// Drops all tables of a build, and what belongs to them. For PostgreSQL drop_triggers() must run before.
std::vector<std::string> drop_tables(const naming& n);

/// The tables of build `next` take the names of the live build. Before, the live tables and the triggers of `next` must
/// be dropped (drop_triggers). Afterwards the triggers are made again, for the new names. SQLite needs PRAGMA
/// legacy_alter_table = ON: otherwise renaming fails if a user's VIEW names the table that is missing for a moment.
std::vector<std::string> rename_to_live(const naming& next);

// --- counters (src/view/sql/counters.cpp) ---

/// Counts the rows into empty counters. NULL is not counted.
std::vector<std::string> fill_counters(const plan& p, const naming& n);

/// From now on the database keeps the counters. A count that reaches 0 is removed. In PostgreSQL the triggers run once
/// for a statement, not for each row: a statement that writes many rows changes each count once.
std::vector<std::string> create_triggers(dialect d, const plan& p, const naming& n);
std::vector<std::string> drop_triggers(dialect d, const naming& n);

// SQLite, for a writer that counts by itself (sqlite/own_counts.hpp). `at`: which of naming::counted.

/// plan::key_columns(): the counted columns of all rows of the key.
std::string counted_values(const plan& p, const naming& n);
/// value, by how much
std::string move_count(const naming& n, std::size_t at);
/// value: removed if its count is 0.
std::string erase_empty_count(const naming& n, std::size_t at);
/// A row if the database has a trigger that isn't ours.
std::string any_foreign_trigger();

// --- rows ---

/// plan::key_columns(): "did = $1 AND …"
std::string of_key(const plan& p);

/// A row for a key without rows: the table's columns in order.
std::string append_row(const plan& p, const naming& n);

/// The table's columns in order. An older row of the key is overwritten in place, except for the columns of hooks. The
/// key index must exist. `source` replaces VALUES: any SELECT with the table's columns in order.
std::string upsert_row(const plan& p, const naming& n, std::string_view source = {});

/// The table's columns in order. If the key has a row, nothing happens. The key index must exist.
std::string insert_row(const plan& p, const naming& n);

/// plan::key_columns(): all rows of the key.
std::string erase_rows(const plan& p, const naming& n);

/// plan::key_columns(), count: the rows of the key at index `count` and above. Only where plan::many().
std::string trim_rows(const plan& p, const naming& n);

// --- rejects ---

/// uri, reason, seq. An older one of the uri is overwritten.
std::string put_reject(const naming& n);
/// uri
std::string erase_reject(const naming& n);
/// uri, seq: a row if there is exactly this reject.
std::string same_reject(const naming& n);
/// A row if there are rejects.
std::string any_reject(const naming& n);
/// limit: uri, reason, seq; oldest first.
std::string list_rejects(const naming& n);

// --- builds (src/view/sql/build_statements.cpp) ---
//
// recordkv_builds: number, view, live, hash, definition, counters, created, generation, seq (position_text.hpp),
// bulk_until, ready, wanted. `counters` is a JSON array of the counted columns, so that a build can be dropped without
// its definition. `ready` is a JSON array of partition labels. `wanted`: a rebuild is wanted; the same in each row of a
// view.

/// One statement; IF NOT EXISTS.
std::string create_builds(dialect d);

/// What builds_of_view() and build_of_number() select, in this order.
inline constexpr std::string_view build_fields =
    "number, view, live, hash, definition, counters, created, generation, seq, bulk_until, ready, wanted";
/// view: its builds, the live one first.
std::string builds_of_view();
/// number
std::string build_of_number();
/// Each view once, by name.
std::string list_views();
/// view, live, hash, definition, counters, created, generation, seq, bulk_until: returns the number as a row.
std::string insert_build();
/// created, generation, seq, number
std::string move_build();
/// number: it is no longer in bulk.
std::string end_bulk_of_build();
/// ready, number
std::string ready_build();
/// number: it becomes the live build. The older live build must be gone.
std::string promote_build();
/// number
std::string erase_build();
/// wanted, view
std::string want_build();

}  // namespace recordkv::view
