// The builds in a PostgreSQL database: how they are found, made, swapped and dropped.
//
// Owns: recordkv_builds in PostgreSQL. Everything runs on the caller's session, inside the caller's transaction.
// Does not know: rows, and the order of calls.
#pragma once

#include "postgres/session.hpp"
#include "sql/stored_build.hpp"

#include <cstdint>
#include <string>

namespace recordkv::view::postgres {

/// BEGIN, and the lock of all processes that change the builds of a view. Its COMMIT waits for the disk.
task<result<void>> begin_change(session& s, std::string view);

/// The builds of a view, the live one first; `lock`: no other session changes them until the transaction ends.
task<result<stored_builds>> builds_of(session& s, std::string view, bool lock);

/// BEGIN, and a lock on build `number`. errc::conflict: it is not of this plan.
task<result<stored_build>> begin_with(session& s, const plan& p, std::uint64_t number);

/// errc::mismatch: a table that is not the view's has a name that a build of the view has, or will have.
task<result<void>> refuse_foreign_tables(session& s, const plan& p, const stored_builds& ours);

/// Makes a build's tables. Key, indexes and triggers follow at once, or after the bulk.
task<result<build>> make_build(session& s, const plan& p, bool live, position start, std::uint64_t bulk_until);

/// Makes key, indexes, counters and triggers for the rows of a build.
task<result<void>> finish_build(session& s, const plan& p, naming n);

task<result<void>> drop_build(session& s, stored_build b);

/// `next` takes the view's name and the rights that users have on the live build. The live build is dropped.
task<result<void>> swap_builds(session& s, const plan& p, const stored_build* live, stored_build next);

request set_position(std::uint64_t number, const position& to);

}  // namespace recordkv::view::postgres
