// How fast accounts are repaired, and so when those that wait will be.
//
// Owns: the rate over the last minute. Does not know: repairs. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace recordkv::stages {

class repair_pace {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// `done`: repairs that have ended since the start.
  void take(std::uint64_t done, time now) {
    readings_.push_back({now, done});
    while (readings_.size() > 2 && now - readings_[1].at >= std::chrono::minutes(1)) readings_.pop_front();
  }

  /// How long `open` repairs will take. nullopt: none has ended in the last minute.
  std::optional<std::chrono::seconds> left(std::uint64_t open) const {
    if (readings_.size() < 2) return {};
    const auto ended = readings_.back().done - readings_.front().done;
    const auto took = std::chrono::duration<double>(readings_.back().at - readings_.front().at).count();
    if (ended == 0 || took <= 0) return {};
    return std::chrono::seconds(
        static_cast<std::int64_t>(static_cast<double>(open) * took / static_cast<double>(ended)));
  }

 private:
  struct reading {
    time at;
    std::uint64_t done;
  };
  std::deque<reading> readings_;
};

}  // namespace recordkv::stages
