// How far a source is settled in the store: what the cursor may say.
//
// Owns: which place in the source belongs to which sequence of the buffer, until the buffer has released it. A place
// never goes back: a repeated event counts with the furthest place before it.
// Does not know: NATS and clocks (both are arguments). Pure; docs/invariants.md X4, decision 4.
//
// The buffer is a work queue: below its first sequence everything is settled in the store. A released place is held
// back a little longer, because the store acknowledges before it has synced its files.
#pragma once

#include "recordkv/core/source_position.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace recordkv::pipe {

class cursor_floor {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// A frame from `source` has, or will have, sequence `buffer` in the buffer. In order.
  void accepted(std::uint64_t buffer, source_position source) {
    newest_ = later(newest_, source);
    standing_.push_back({buffer, newest_});
  }

  /// A frame was dropped on purpose. It counts as done with the frame before it, so that the cursor does not age while
  /// the filter passes nothing.
  void dropped(source_position source, time now) {
    newest_ = later(newest_, source);
    if (!standing_.empty())
      standing_.back().source = newest_;
    else if (!released_.empty())
      released_.back().source = newest_;  // needs nothing durable, so no time of its own
    else
      released_.push_back({now, newest_});
  }

  /// The buffer's first sequence, as it was at `now`.
  void settled_below(std::uint64_t first, time now) {
    std::optional<source_position> newest;
    for (; !standing_.empty() && standing_.front().buffer < first; standing_.pop_front())
      newest = standing_.front().source;
    if (newest) released_.push_back({now, *newest});
  }

  /// The furthest place that was released at least `hold` ago and not returned before.
  std::optional<source_position> durable(time now, std::chrono::milliseconds hold) {
    std::optional<source_position> out;
    for (; !released_.empty() && released_.front().at + hold <= now; released_.pop_front())
      out = released_.front().source;
    return out;
  }

  /// The source's numbering began anew, or the buffer was lost: earlier places no longer count.
  void clear() noexcept {
    standing_.clear();
    released_.clear();
    newest_ = {};
  }
  std::size_t standing() const noexcept { return standing_.size(); }

 private:
  struct place {
    std::uint64_t buffer;
    source_position source;
  };
  struct release {
    time at;
    source_position source;
  };
  std::deque<place> standing_;
  std::deque<release> released_;
  source_position newest_;
};

}  // namespace recordkv::pipe
