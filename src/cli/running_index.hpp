// What a command means by "the database" and "the views" where its configuration does not say.
//
// Owns: the order: what the configuration at hand writes; else what a running index says of itself in bucket `lock`;
// else the defaults. So `likes`, `query` and `put --wait` answer from any directory. Refuses to know: what is asked
// there.
#pragma once

#include "commands.hpp"
#include "lock_table.hpp"
#include "recordkv/view/plan.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::cli {

/// The database that holds `table`: a view, one of its counters, or its rejects; empty: any view.
std::string database_of(const config& cfg, const std::vector<lock_row>& rows, std::string_view table);

/// The same for a command that needs no NATS otherwise: it is asked only where the configuration names no database.
std::string find_database(const config& cfg, const std::string& table);

/// The views that are meant: those that index.views names; else those that a process keeps; else those that ship.
result<std::vector<view::plan>> meant_views(const config& cfg, const std::vector<lock_row>& rows);

/// The partitions of a view that no live process takes; empty: all of it is kept.
std::vector<std::string> unkept_partitions(const std::vector<lock_row>& rows, const std::string& view,
                                           unsigned partitions);

/// Nothing, while live processes keep all of the view. Else errc::unreachable, which says what is not kept and the
/// remedy.
result<void> is_kept(const std::vector<lock_row>& rows, const std::string& view, unsigned partitions);

}  // namespace recordkv::cli
