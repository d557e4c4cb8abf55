// What one part of the system reports: the same numbers for /metrics, /readyz, `status` and the lease's report.
//
// Owns: the numbers of a part, and the board that lists the parts of a process.
// Does not know: how they are shown (part_stats_text.hpp), and clocks. Loop thread only.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/core/part_health.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>

namespace recordkv {

/// Seconds, in buckets from a millisecond to a minute. One table serves acknowledgements, transactions and the time
/// from the network to a row.
class histogram {
 public:
  static constexpr std::array<double, 14> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                 0.25,  0.5,    1,     2.5,  5,     15,   60};
  void observe(double seconds) noexcept {
    std::size_t i = 0;
    while (i < bounds.size() && seconds > bounds[i]) ++i;
    ++counts_[i];
    ++count_;
    sum_ += seconds;
  }
  /// How many observations fell into bucket i (not cumulative); the last bucket has no upper bound.
  std::uint64_t in_bucket(std::size_t i) const noexcept { return counts_[i]; }
  std::uint64_t count() const noexcept { return count_; }
  double sum() const noexcept { return sum_; }
  /// An upper bound of the quantile q: the bound of the bucket that holds it; 0 without observations.
  double quantile(double q) const noexcept;

 private:
  std::array<std::uint64_t, bounds.size() + 1> counts_{};
  std::uint64_t count_ = 0;
  double sum_ = 0;
};

/// The database behind a part. Several parts may share one.
struct database_stats {
  std::string name;
  std::optional<std::uint64_t> wal_bytes;            ///< SQLite's write-ahead log, as far as it is committed
  std::optional<double> oldest_transaction_seconds;  ///< PostgreSQL: of another program
};

/// The repairs of a part.
struct repair_stats {
  std::uint64_t waiting = 0, under_way = 0;  ///< accounts
  std::uint64_t bytes = 0, max_bytes = 0;    ///< of the repos that are in memory; repos.memory
};

/// A member means the same in every stage. A member that a stage does not use stays zero.
struct part_stats {
  std::string stage;                    ///< "ingest", "kv", "index"
  std::string part;                     ///< its lease's key: "kv", "kv-0-7", "view-likes"
  bool standby = false;                 ///< waits for another process's lease
  bool running = false;                 ///< holds its lease and works
  std::uint64_t events = 0;             ///< taken in: frames, buffered events, store messages
  std::uint64_t bytes = 0;              ///< their size
  std::uint64_t lag_messages = 0;       ///< still to be taken in, where that can be known
  double lag_seconds = 0;               ///< age of the last event taken in, while more is waiting; ingest: when it came
  std::uint64_t in_flight = 0;          ///< taken in and not yet settled
  double oldest_unsettled_seconds = 0;  ///< how long the oldest of these has waited
  std::optional<double> cursor_age_seconds;  ///< ingest: how long ago the frame behind the cursor was read
  std::optional<std::uint64_t> source_gaps;  ///< ingest: periods in which events may be missing
  double source_gap_seconds = 0;             ///< their total length, as far as both ends are known
  histogram publish;                         ///< from sending to acknowledgement
  histogram transaction;                     ///< of the database
  histogram visible;  ///< from the event's own time to its row: the first and last record of each batch
  meters counted;
  part_health health;
  std::string warning;  ///< the part works, but a person should act; empty: no warning
  std::optional<database_stats> database;
  std::optional<repair_stats> repairs;
};

/// The parts of one process. A part is listed as long as its `place` lives.
class stats_board {
 public:
  using refresh = std::function<void()>;  ///< updates gauges before they are read
  struct entry {
    const part_stats* what;
    refresh before_reading;
  };
  class place {
   public:
    place() = default;
    /// `board` null: the part is not listed.
    place(stats_board* board, const part_stats& what, refresh before_reading) : board_(board) {
      if (!board_) return;
      board_->entries_.push_back({&what, std::move(before_reading)});
      at_ = std::prev(board_->entries_.end());
    }
    ~place() {
      if (board_) board_->entries_.erase(at_);
    }
    place(const place&) = delete;
    place& operator=(const place&) = delete;

   private:
    stats_board* board_ = nullptr;
    std::list<entry>::iterator at_;
  };

  /// All parts, up to date.
  const std::list<entry>& read() const {
    for (const auto& e : entries_)
      if (e.before_reading) e.before_reading();
    return entries_;
  }

 private:
  std::list<entry> entries_;
};

}  // namespace recordkv
