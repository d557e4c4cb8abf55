// Accounts that a repair works on: kept in memory, and their events held while the store is compared.
//
// Owns: which accounts are pinned and held.
// Does not know: what a repair does.
#pragma once

#include "account_cache.hpp"
#include "account_order.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"
#include "settle.hpp"
#include "state_loads.hpp"

#include <string>

namespace recordkv::stages {

class account_holds {
 public:
  account_holds(account_cache& accounts, account_order& order, state_loads& loads, settlement& settles,
                std::function<void()> released)
      : accounts_(accounts), order_(order), loads_(loads), settles_(settles), released_(std::move(released)) {}

  /// Gets the account into memory, where it stays until unpin(). Null: close() was called.
  task<account*> pin(std::string did, nursery& into);
  void unpin(account& a) noexcept { --a.pins; }

  /// From now on the events of a pinned account wait. Returns once those before are applied and their puts are durable
  /// (X13). False: close() was called. One hold at a time for each account.
  task<bool> hold(account& a);
  /// The events go on.
  void let_go(account& a);

  /// An account may have come into memory, or an event of an account may have been applied or put back.
  void moved() noexcept { moved_.notify(); }
  void close() noexcept;

 private:
  account_cache& accounts_;
  account_order& order_;
  state_loads& loads_;
  settlement& settles_;
  std::function<void()> released_;
  bool closed_ = false;
  event moved_;
};

}  // namespace recordkv::stages
