// What a command means by "the database" and "the views" if its configuration does not say.
//
// Owns: the order: the given configuration; otherwise what a running index reports in bucket `lock`; otherwise the
// defaults. So `likes`, `query` and `put --wait` answer from any directory.
// Does not know: what is asked there.
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

/// The same for a command that otherwise needs no NATS: NATS is asked only if the configuration names no database.
std::string find_database(const config& cfg, const std::string& table);

/// The views that a command means: those of index.views; otherwise those that a process keeps; otherwise those that
/// ship.
result<std::vector<view::plan>> meant_views(const config& cfg, const std::vector<lock_row>& rows);

/// The partitions of a view that no live process takes; empty: all of it is kept.
std::vector<std::string> unkept_partitions(const std::vector<lock_row>& rows, const std::string& view,
                                           unsigned partitions);

/// No error while live processes keep all of the view. Otherwise errc::unreachable: the text says what is not kept,
/// and the remedy.
result<void> is_kept(const std::vector<lock_row>& rows, const std::string& view, unsigned partitions);

}  // namespace recordkv::cli
