// Whether an SQLite database's write-ahead log can begin anew, and which reader prevents it.
//
// Owns: when the log counts as held up, since when, and the warning. Does not know: views, threads, where the warning
// goes.
//
// The log begins anew only at a moment at which every reader sees all of it. If a transaction stays open, or reads
// always overlap, the log grows without limit, while everything seems well.
#pragma once

#include "sqlite/database.hpp"

#include "recordkv/view/store.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace recordkv::view {

class wal_watch {
 public:
  using clock = std::chrono::steady_clock;

  /// More than checkpoints allow (64 MB, wal_checkpoints.hpp), with room for a transaction.
  static constexpr std::uint64_t max_bytes = std::uint64_t{96} << 20;
  static constexpr std::chrono::seconds told_after{5};

  /// Looks, and empties the log if it is large and there is no reader. It never waits.
  result<upkeep> look(database& db, clock::time_point now);

 private:
  void held_up(upkeep& out, const std::string& path, clock::time_point now);
  void not_held_up() {
    since_.reset();
    readers_.clear();
    last_bytes_ = 0;
  }

  std::optional<clock::time_point> since_;
  std::uint64_t last_bytes_ = 0;
  std::set<int> readers_;  // those that held a lock at each look since then
};

}  // namespace recordkv::view
