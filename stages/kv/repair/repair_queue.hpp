// Which accounts are to be repaired, and when.
//
// Owns: the accounts that are due, those that are under repair, and the bound on both.
// Does not know: how an account is repaired, and its state. Pure: the caller passes the time.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

namespace recordkv::stages {

class repair_queue {
 public:
  using clock = std::chrono::system_clock;
  explicit repair_queue(std::size_t max_accounts) : max_(max_accounts) {}

  /// The account is due at that time, or earlier if it was so before. While it is under repair, the time counts once
  /// that has ended. If the queue is full, the account that is due last is dropped, and overflowed() becomes true.
  void add(const std::string& did, clock::time_point at);
  /// Takes the account that is due first. It is then under repair. nullopt: none is due.
  std::optional<std::string> take(clock::time_point now);
  /// The account is no longer under repair.
  void done(const std::string& did);

  /// When the next account is due; nullopt: the queue is empty.
  std::optional<clock::time_point> next() const;
  std::size_t waiting() const noexcept { return times_.size(); }
  /// How many accounts are due. The others wait for a next try. Takes time in proportion to that number.
  std::size_t due(clock::time_point now) const;
  std::size_t under_repair() const noexcept { return taken_.size(); }
  /// Accounts were dropped since the last call: the states must be read again to find them.
  bool overflowed() noexcept { return std::exchange(overflowed_, false); }

 private:
  void put(const std::string& did, clock::time_point at);

  std::size_t max_;
  std::set<std::pair<clock::time_point, std::string>> due_;
  std::unordered_map<std::string, clock::time_point> times_;
  std::unordered_map<std::string, std::optional<clock::time_point>> taken_;  // the time at which it is due again
  bool overflowed_ = false;
};

}  // namespace recordkv::stages
