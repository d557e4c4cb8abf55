// The order of events: kept per account, and only per account.
//
// An account may be held, because something about it is not known yet. Its events then wait, in the order in which they
// came, and events of other accounts pass them.
//
// Owns: the queue of events, and the events of held accounts.
// Does not know: why an account is held, and what an event says. Pure.
#pragma once

#include "kv_event.hpp"

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace recordkv::stages {

class account_order {
 public:
  void push(kv_event e);

  /// The next event whose account is not held. Events of held accounts are put aside on the way. Nothing: all wait.
  std::optional<kv_event> pop();

  /// Holds the account of an event that pop() has returned. The event stays the first of its account.
  void hold(kv_event first);

  /// The account's events go on, before all that came after them.
  void release(const std::string& account);

  bool holds(const std::string& account) const { return held_.contains(account); }
  /// Events pushed and not yet popped, those of held accounts included.
  std::size_t size() const noexcept { return queue_.size() + waiting_; }
  bool empty() const noexcept { return size() == 0; }

 private:
  std::deque<kv_event> queue_;
  std::unordered_map<std::string, std::vector<kv_event>> held_;
  std::size_t waiting_ = 0;  // events in held_
};

}  // namespace recordkv::stages
