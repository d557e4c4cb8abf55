// The builds in an SQLite database: finding them, making their tables, letting one take another's place.
//
// Owns: recordkv_builds in SQLite. All of it runs inside a transaction of the caller's.
// Refuses to know: rows, threads.
#pragma once

#include "sql/stored_build.hpp"
#include "sqlite/database.hpp"

#include <cstdint>
#include <string>

namespace recordkv::view {

/// The table itself, and the end of the one that stood in its place before.
result<void> create_builds_table(database& db);

/// The builds of a view, the live one first.
result<stored_builds> builds_of(database& db, const std::string& view);

/// Build `number` when it is of this plan; errc::conflict else.
result<stored_build> build_of(database& db, const plan& p, std::uint64_t number);

result<bool> exists(database& db, const std::string& name);

/// Makes a build's tables; with key, indexes and triggers unless it is to be loaded in bulk.
result<build> make_build(database& db, const plan& p, bool live, const position& start, std::uint64_t bulk_until);

/// Key, indexes, counters and triggers of rows that are there.
result<void> finish_build(database& db, const plan& p, const naming& n);

result<void> drop_build(database& db, const stored_build& b);

/// `next` takes the view's name; `live`, if any, goes.
result<void> swap_builds(database& db, const plan& p, const stored_build& next);

result<void> set_position(database& db, std::uint64_t number, const position& to);

}  // namespace recordkv::view
