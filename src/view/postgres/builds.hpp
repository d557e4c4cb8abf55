// The builds in a PostgreSQL database: finding them, making their tables, letting one take another's place.
//
// Owns: recordkv_builds in PostgreSQL. All of it runs inside a transaction of the caller's, on a session that is his.
// Refuses to know: rows, and the order of calls.
#pragma once

#include "postgres/session.hpp"
#include "sql/stored_build.hpp"

#include <cstdint>
#include <string>

namespace recordkv::view::postgres {

/// BEGIN, and the lock that all share who change which builds a view has. It survives no crash: what it makes is on
/// disk.
task<result<void>> begin_change(session& s, std::string view);

/// The builds of a view, the live one first; `lock`: nobody else changes them until the transaction ends.
task<result<stored_builds>> builds_of(session& s, std::string view, bool lock);

/// BEGIN, and build `number` locked, when it is of this plan; errc::conflict else.
task<result<stored_build>> begin_with(session& s, const plan& p, std::uint64_t number);

/// errc::mismatch: under a name that a build of this view bears, or will bear, stands a table that is not the view's.
task<result<void>> refuse_foreign_tables(session& s, const plan& p, const stored_builds& ours);

/// Makes a build's tables; with key, indexes and triggers unless it is to be loaded in bulk.
task<result<build>> make_build(session& s, const plan& p, bool live, position start, std::uint64_t bulk_until);

/// Key, indexes, counters and triggers of rows that are there.
task<result<void>> finish_build(session& s, const plan& p, naming n);

task<result<void>> drop_build(session& s, stored_build b);

/// `next` takes the view's name, with the rights that people have on the live one, which goes.
task<result<void>> swap_builds(session& s, const plan& p, const stored_build* live, stored_build next);

request set_position(std::uint64_t number, const position& to);

}  // namespace recordkv::view::postgres
