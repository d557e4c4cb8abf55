// Whether many changes come at the moment.
//
// Owns: the rate of the last window. Does not know: what is done about it. Pure: the time is an argument.
#pragma once

#include <chrono>
#include <cstddef>

namespace recordkv::stages {

class change_rate {
 public:
  using clock = std::chrono::steady_clock;

  /// From so many changes a second on, it is busy. A window is long enough that a few hundred changes which come at
  /// once don't count as many a second.
  static constexpr std::size_t busy_rate = 5'000;
  static constexpr std::chrono::milliseconds window{100};

  void add(std::size_t changes) noexcept { came_ += changes; }

  /// Whether the last window was busy. A window ends at the first call after its time.
  bool busy(clock::time_point now) noexcept {
    const std::chrono::duration<double> passed = now - since_;
    if (passed < window) return busy_;
    busy_ = static_cast<double>(came_) >= passed.count() * static_cast<double>(busy_rate);
    since_ = now;
    came_ = 0;
    return busy_;
  }

 private:
  clock::time_point since_;
  std::size_t came_ = 0;
  bool busy_ = false;
};

}  // namespace recordkv::stages
