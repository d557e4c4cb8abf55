// The last step of an event. Its puts become durable, then its account's state is written, then the event settles. Once
// all events of a message have settled, the message is acknowledged (docs/invariants.md X8, X9).
//
// Owns: the queue of events whose puts are not durable yet, and the writing of states.
// Does not know: what an event changed.
#pragma once

#include "account_cache.hpp"
#include "kv_event.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/rate_limited.hpp"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::stages {

class settlement {
 public:
  using clock = std::chrono::steady_clock;

  /// `gather`: the longest pause after a round of settling, in which several events of an account become one write. The
  /// less is settled a second, the shorter it is. There is none after finish(), and none when the queue holds half of
  /// `max_unsettled` or more.
  settlement(nats::inbox& in, nats::outbox& out, state_port states, std::chrono::milliseconds gather,
             std::size_t max_unsettled, meters& counters);

  /// Takes an event that was applied. `last`: the ordinal of its last put, or of a skip if it has no put. `changed`:
  /// the account whose state changes; null: none.
  void add(nats::ordinal last, kv_event&& e, account* changed);
  /// Takes a commit after which the account's state has another rev and data, and whatever else may be written before
  /// the commit's puts are durable: `seen` and more collections. Costs no copy of the state.
  void add_progress(nats::ordinal last, kv_event&& e, account& a);

  /// The account's state has changed without an event. It is written once `last` is durable. Returns its number.
  std::uint64_t add_state(nats::ordinal last, account& changed);
  /// The state with this number, or a newer one of its account, is in bucket `repo`.
  bool is_written(std::uint64_t number) const noexcept { return number <= written_; }
  /// Ends the pause after a round, because something waits for a state.
  void hurry() noexcept { pause_.notify(); }

  /// Settles until finish() was called and nothing is left. errc::lease_lost ends it early.
  task<result<void>> run();

  /// No more events are added.
  void finish() noexcept;
  /// Ends run() without waiting for what is not durable.
  void abandon() noexcept;

  std::size_t unsettled() const noexcept { return waiting_.size() + settling_; }
  std::size_t unsettled_bytes() const noexcept { return bytes_; }
  /// When the oldest unsettled event was added.
  std::optional<clock::time_point> oldest() const noexcept;
  /// Notified when events have settled, and by abandon().
  event& progress() noexcept { return progress_; }
  /// Why states can't be written now; empty: they can.
  const std::string& last_error() const noexcept { return last_error_; }

 private:
  struct applied {
    nats::ordinal last;
    std::optional<event_handle> from;  // empty: the state has changed without an event
    account* changed;
    std::size_t bytes;
    std::unique_ptr<kv::repo_state> after;  // the whole state; null: only its rev and data
    std::string rev, data;
    clock::time_point since;
    std::uint64_t number;
  };

  struct durable_events {
    std::vector<event_handle> handles;
    std::size_t events = 0;  // changes of a state without an event included
    std::size_t bytes = 0;
    std::uint64_t last = 0;  // the number of the last of them
  };
  void push(applied what);
  bool is_takeable(const applied& e, nats::ordinal floor) const;
  void make_writable(applied& e);
  static kv::repo_state take_writable(account& a);
  durable_events take_durable();
  std::chrono::milliseconds pause_after(std::size_t events);
  task<result<void>> write_states();

  nats::inbox& in_;
  nats::outbox& out_;
  state_port states_;
  std::chrono::milliseconds gather_;
  std::size_t max_unsettled_;
  meters& counters_;
  std::deque<applied> waiting_;
  std::uint64_t added_ = 0, written_ = 0;  // numbers of what was added last, and of what was written last
  std::vector<account*> dirty_;
  std::size_t settling_ = 0;  // events whose puts are durable and whose states are being written
  clock::time_point settling_since_;
  clock::time_point round_;  // when the last round ended
  bool finished_ = false;
  bool abandoned_ = false;
  std::size_t bytes_ = 0;
  std::string last_error_;
  rate_limited told_;
  event progress_;
  event pause_;
};

}  // namespace recordkv::stages
