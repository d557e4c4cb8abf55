// The SQL of a plan, in both dialects.
//
// Owns: every statement that names a table of a view, or table recordkv_builds, and so the shape of those tables.
// Refuses to know: connections, transactions, when which statement runs. Names were checked when the plan was loaded
// and are quoted all the same.
//
// Parameters are $1, $2 … in both dialects, in the order in which they are named here; that is also the order in which
// they first stand in the text, since SQLite numbers names so.
#pragma once

#include "sql/column_sql.hpp"
#include "sql/naming.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view {

/// The table's columns in their order: did, collection, rkey, idx where plan::many(), then the plan's.
struct table_column {
  std::string name;
  column_type type = column_type::text;
  bool required = false;
  bool key = false;
  bool hooks = false;  ///< set when a row is made, and left alone when it is written again
};
std::vector<table_column> table_columns(const plan& p);

// --- a build's tables (src/view/sql/statements.cpp) ---

/// The tables of a build, empty: rows without key and indexes, counters, rejects.
std::vector<std::string> create_tables(dialect d, const plan& p, const naming& n);

/// The key, then the secondary indexes.
std::vector<std::string> create_indexes(dialect d, const plan& p, const naming& n);

/// Drops all tables of a build, with what hangs on them. For PostgreSQL drop_triggers() comes before it.
std::vector<std::string> drop_tables(const naming& n);

/// Tables of build `next` take the names of the live one. Before it: the live tables are gone, and so are the triggers
/// of `next` (drop_triggers), which are made anew afterwards under the new names. SQLite: with PRAGMA
/// legacy_alter_table = ON, else a view of somebody's own that names the table makes the renaming fail while the table
/// is away.
std::vector<std::string> rename_to_live(const naming& next);

// --- counters (src/view/sql/counters.cpp) ---

/// Counts the rows that are there into empty counters. A value that is NULL is not counted.
std::vector<std::string> fill_counters(const plan& p, const naming& n);

/// From now on the database keeps the counters itself; a count that reaches 0 goes. In PostgreSQL the triggers run once
/// a statement, not once a row: a statement that writes many rows moves each count once.
std::vector<std::string> create_triggers(dialect d, const plan& p, const naming& n);
std::vector<std::string> drop_triggers(dialect d, const naming& n);

// --- rows ---

/// A row for a key that has none: the table's columns in order.
std::string append_row(const plan& p, const naming& n);

/// The table's columns in order. An older row of the key is overwritten in place, but for the columns of hooks. It
/// needs the key. `source` instead of VALUES: anything that gives the table's columns in order, such as "SELECT * FROM
/// t".
std::string upsert_row(const plan& p, const naming& n, std::string_view source = {});

/// did, collection, rkey: all rows of the key.
std::string erase_rows(const naming& n);

/// did, collection, rkey, count: the rows of the key at index `count` and above. Only where plan::many().
std::string trim_rows(const naming& n);

/// did, collection, rkey: a row when the key has any.
std::string any_row(const naming& n);

// --- rejects ---

/// uri, reason, seq. An older one of the uri is overwritten.
std::string put_reject(const naming& n);
/// uri
std::string erase_reject(const naming& n);
/// uri, seq: a row when there is precisely this one.
std::string same_reject(const naming& n);
/// A row when there are any.
std::string any_reject(const naming& n);
/// limit: uri, reason, seq; oldest first.
std::string list_rejects(const naming& n);

// --- builds (src/view/sql/build_statements.cpp) ---
//
// recordkv_builds: number, view, live, hash, definition, counters (JSON array of the counted columns, so that a build
// can be dropped whose definition nobody understands any more), created, generation, seq (position_text.hpp),
// bulk_until, ready (JSON array of partition labels), wanted (a rebuild is wished for; the same in each row of a view).

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
/// view, live, hash, definition, counters, created, generation, seq, bulk_until: its number is returned as a row.
std::string insert_build();
/// created, generation, seq, number
std::string move_build();
/// number: it is no longer in bulk.
std::string end_bulk_of_build();
/// ready, number
std::string ready_build();
/// number: it is the live one. The older live one must be gone.
std::string promote_build();
/// number
std::string erase_build();
/// wanted, view
std::string want_build();

}  // namespace recordkv::view
