// How far the reading is behind its source.
//
// Owns: the rule. What is waiting is as old as the event that was read last. If nothing has come on a working
// connection for a while, nothing is waiting, however old the last event was.
// Does not know: sources, and clocks (times are arguments).
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace recordkv::stages {

class source_lag {
 public:
  using time = std::chrono::steady_clock::time_point;
  /// A host sends at once what it has: after this time without an event there is none.
  static constexpr std::chrono::seconds quiet{3};

  /// An event from `event` (seconds since 1970) was read at `now`, by the same count.
  void read(double event, double now) { age_ = std::max(0.0, now - event); }
  /// The source cannot be reached: what is waiting there is not known.
  void unreachable(time now) { silent_since_ = now; }

  /// `waiting`: since when the source has been awaited; nullopt while it is not.
  double seconds(std::optional<time> waiting, time now) {
    if (waiting && now - std::max(*waiting, silent_since_) >= quiet) age_ = 0;
    return age_;
  }

 private:
  double age_ = 0;
  time silent_since_;
};

}  // namespace recordkv::stages
