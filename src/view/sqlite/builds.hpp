// The builds in an SQLite database: how they are found, made, swapped and dropped.
//
// Owns: recordkv_builds in SQLite. Everything but create_builds_table() runs inside the caller's transaction.
// Does not know: rows, threads.
#pragma once

#include "sql/stored_build.hpp"
#include "sqlite/database.hpp"

#include <cstdint>
#include <string>

namespace recordkv::view {

/// Makes the table if it is missing, and drops the tables of the first format.
result<void> create_builds_table(database& db);

/// The builds of a view, the live one first.
result<stored_builds> builds_of(database& db, const std::string& view);

/// Build `number`. errc::conflict: it is not of this plan.
result<stored_build> build_of(database& db, const plan& p, std::uint64_t number);

result<bool> exists(database& db, const std::string& name);

/// Makes a build's tables. Key, indexes and triggers follow at once, or after the bulk.
result<build> make_build(database& db, const plan& p, bool live, const position& start, std::uint64_t bulk_until);

/// Makes key, indexes, counters and triggers for the rows of a build.
result<void> finish_build(database& db, const plan& p, const naming& n);

result<void> drop_build(database& db, const stored_build& b);

/// `next` takes the view's name. A live build is dropped.
result<void> swap_builds(database& db, const plan& p, const stored_build& next);

result<void> set_position(database& db, std::uint64_t number, const position& to);

}  // namespace recordkv::view
