// How far the reading is behind its source.
//
// Owns: the rule. What waits is as old as what was read last; when nothing has come on a standing connection for a
// while, nothing waits, however old the last event was.
// Refuses to know: sources, and clocks (times are arguments).
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace recordkv::stages {

class source_lag {
 public:
  using time = std::chrono::steady_clock::time_point;
  /// A host sends what it has at once: after so long without an event there is none.
  static constexpr std::chrono::seconds quiet{3};

  /// An event that happened at `event` (seconds since 1970) was read; it is now `now` by the same count.
  void read(double event, double now) { age_ = std::max(0.0, now - event); }
  /// The source can't be reached: what waits there is not known.
  void unreachable(time now) { silent_since_ = now; }

  /// `waiting`: since when the source has been asked without an answer; nullopt while nothing is asked of it.
  double seconds(std::optional<time> waiting, time now) {
    if (waiting && now - std::max(*waiting, silent_since_) >= quiet) age_ = 0;
    return age_;
  }

 private:
  double age_ = 0;
  time silent_since_{};
};

}  // namespace recordkv::stages
