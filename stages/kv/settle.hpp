// What becomes of an event once it is applied: its puts become durable, then its account's state is written, then the
// event settles (docs/invariants.md X8, X9).
//
// Owns: the queue of events whose puts are not durable yet, and the writing of states.
// Does not know: what an event changed.
#pragma once

#include "account_cache.hpp"
#include "kv_event.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/meter.hpp"

#include <chrono>
#include <deque>
#include <optional>
#include <vector>

namespace recordkv::stages {

class settlement {
 public:
  using clock = std::chrono::steady_clock;

  /// `gather`: the pause between two writes of states while events keep coming. `max_unsettled`: half of it in the
  /// queue ends the pauses.
  settlement(nats::inbox& in, nats::outbox& out, state_port states, std::chrono::milliseconds gather,
             std::size_t max_unsettled, meters& counters);

  /// An event was applied; `last` is the ordinal of its last put. `changed` is its account, or null when no state
  /// changes.
  void add(nats::ordinal last, event_handle from, account* changed);

  /// Settles until finish() was called and nothing is left. errc::lease_lost ends it early.
  task<result<void>> run();

  /// No more events are added.
  void finish() noexcept;
  /// Ends run() without waiting for what is not durable.
  void abandon() noexcept;

  std::size_t unsettled() const noexcept { return waiting_.size() + settling_; }
  /// When the oldest unsettled event was added.
  std::optional<clock::time_point> oldest() const noexcept;
  /// Notified when events have settled, and by abandon().
  event& settled() noexcept { return settled_; }

 private:
  struct applied {
    nats::ordinal last;
    event_handle from;
    account* changed;
    kv::repo_state after;
    clock::time_point since;
  };

  std::vector<event_handle> take_durable();
  task<result<void>> write_states();

  nats::inbox& in_;
  nats::outbox& out_;
  state_port states_;
  std::chrono::milliseconds gather_;
  std::size_t max_unsettled_;
  meters& counters_;
  std::deque<applied> waiting_;
  std::vector<account*> dirty_;
  std::size_t settling_ = 0;  // durable, and their states are being written
  clock::time_point settling_since_;
  bool finished_ = false;
  bool abandoned_ = false;
  event settled_;
  event pause_;
};

}  // namespace recordkv::stages
