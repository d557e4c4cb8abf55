// Which look-ups failed a short while ago.
//
// Owns: that memory, its time and its bound. Does not know: clocks (time is an argument), and why they failed.
#pragma once

#include "recordkv/core/result.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace recordkv::identity {

class failure_memory {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t max_entries = 10'000;  // beyond that the oldest is forgotten early

  explicit failure_memory(clock::duration keep) : keep_(keep) {}

  void remember(const std::string& did, error why, clock::time_point now);
  void forget(std::string_view did);
  std::optional<error> find(std::string_view did, clock::time_point now);
  std::size_t size() const noexcept { return failures_.size(); }

 private:
  struct failure {
    error why;
    clock::time_point until;
  };
  void drop_old(clock::time_point now);

  clock::duration keep_;
  std::map<std::string, failure, std::less<>> failures_;
  std::deque<std::pair<std::string, clock::time_point>> order_;  // when each entry ends, the earliest first
};

}  // namespace recordkv::identity
