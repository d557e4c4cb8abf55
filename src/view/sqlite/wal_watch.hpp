// Whether an SQLite database's write-ahead log can be used anew, and which reader keeps it from that.
//
// Owns: what counts as held up, since when, and the words for it. Refuses to know: views, threads, who is told.
//
// The log begins anew only in a moment in which every reader sees all of it. A transaction that stays open, or readers
// that leave no moment between them, let it grow without limit, while everything seems well.
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

  /// Above what automatic checkpoints keep it at (64 MB), with room for a transaction.
  static constexpr std::uint64_t max_bytes = std::uint64_t{96} << 20;
  static constexpr std::chrono::seconds told_after{5};

  /// Looks, and empties the log when it is large and nobody reads. Never waits for anybody.
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
  std::set<int> readers_;  // those that were there at each look since then
};

}  // namespace recordkv::view
