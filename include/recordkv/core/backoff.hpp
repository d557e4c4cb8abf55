// The delay before the next try.
//
// Owns: the number of consecutive failures and the rule that turns it into a delay.
// Does not know: clocks and timers; the caller waits.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace recordkv {

/// Doubling delays with full jitter in the upper half: try k waits between base·2^k/2 and base·2^k, at most `cap`.
class backoff {
 public:
  using ms = std::chrono::milliseconds;

  backoff(ms base, ms cap, std::uint64_t seed = std::random_device{}()) : base_(base), cap_(cap), random_(seed) {}

  /// The delay before the next try; each call counts as one failure.
  ms next() {
    const ms whole = std::min(cap_, base_ * (std::int64_t{1} << std::min(failures_, 30)));
    ++failures_;
    return ms(std::uniform_int_distribution<std::int64_t>(whole.count() / 2, whole.count())(random_));
  }

  /// Call this once everything has worked for a while, not after the first success.
  void reset() noexcept { failures_ = 0; }
  int failures() const noexcept { return failures_; }

 private:
  ms base_;
  ms cap_;
  int failures_ = 0;
  std::mt19937_64 random_;
};

}  // namespace recordkv
