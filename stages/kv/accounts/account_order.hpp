// The order of events: kept per account, and only per account.
//
// An account may be held, because something about it is not known yet. Its events then wait, in the order in which they
// came, and events of other accounts pass them.
//
// Owns: the queue of events, and the events of held accounts.
// Does not know: why an account is held, and what an event says. Pure.
#pragma once

#include "kv_event.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace recordkv::stages {

class account_order {
 public:
  void push(kv_event e);

  /// The next event whose account is not held. Events of held accounts are put aside on the way. nullopt: the queue is
  /// empty, or only events of held accounts are left.
  std::optional<kv_event> pop();

  /// Holds the account of an event that pop() has returned. The event stays the first of its account. If more events of
  /// the account were popped, pass them to hold() next, in their order, before any pop(), release() or suspension.
  void hold(kv_event first);

  /// Holds an account of which no event was popped and not yet applied.
  void hold_account(const std::string& account) { held_.try_emplace(account); }

  /// Puts the account's events back at the front of the queue, in their order.
  void release(const std::string& account);

  bool holds(const std::string& account) const { return held_.contains(account); }
  /// Events that were pushed and not yet popped, including those of held accounts.
  std::size_t size() const noexcept { return queue_.size() + waiting_; }
  bool empty() const noexcept { return size() == 0; }
  /// The number of the newest event.
  std::uint64_t pushed() const noexcept { return pushed_; }
  /// Events of held accounts that pop() has put aside or hold() has put back.
  std::size_t waiting() const noexcept { return waiting_; }
  /// The sum of kv_event::bytes over these size() events.
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::deque<kv_event> queue_;
  std::unordered_map<std::string, std::vector<kv_event>> held_;
  std::size_t waiting_ = 0;  // events in held_
  std::size_t bytes_ = 0;
  std::uint64_t pushed_ = 0;
};

}  // namespace recordkv::stages
