// The pipeline of stage `kv`: decode, order, check of signatures, apply, settle.
//
//   inbox -> decoder -> account_order -> check_signatures -> applier -> settlement -> acknowledgement
//
// Owns: the coroutines that take, check, apply and settle. Also the two things that an event may wait for: the state
// and the key of its account.
// Does not know: NATS and directories. It is given an inbox, an outbox, a decoder, and the functions of a state_port
// and an identity_port. Tests give it fakes.
//
// To add a step before account_order, wrap the decoder. To add a step that waits for something about an account, hold
// the account in account_order, as the reading of states does.
#pragma once

#include "accounts/account_cache.hpp"
#include "accounts/account_holds.hpp"
#include "accounts/account_order.hpp"
#include "accounts/key_look_ups.hpp"
#include "accounts/settle.hpp"
#include "accounts/state_loads.hpp"
#include "apply.hpp"
#include "decode.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/wishes.hpp"
#include "repair/repairs.hpp"
#include "signature_checks.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::stages {

/// Once unsettled_events or unsettled_bytes is reached, no further batch is taken. Each of the two is therefore
/// exceeded by at most one batch.
struct pipeline_limits {
  std::size_t cached_accounts = 50'000;  ///< about 1.5 kB each; a forgotten account is read from NATS again
  std::size_t unsettled_events = 30'000;
  std::size_t unsettled_bytes = std::size_t{64} << 20;  ///< of their messages
  std::chrono::milliseconds gather{0};                  ///< the longest pause after a write of states
};

/// How events get their verdicts. Used only if apply_rules::verify is set.
struct verification {
  worker_pool* pool = nullptr;  ///< outlives the pipeline
  verify_function verify;
  identity_port identity;
  look_up_rules look_ups;
};

/// How accounts are repaired. Without `port.get_repo` they are not.
struct repair {
  repair_port port;
  repair_rules rules;
};

class kv_pipeline {
 public:
  kv_pipeline(nats::inbox& in, nats::outbox& out, const state_port& states, event_decoder decode, apply_rules rules,
              verification verify, repair repaired, pipeline_limits limits, meters& counters);

  /// Takes messages and applies their events, until the inbox closes. At the end, events that still wait for a key stay
  /// unacknowledged. Run it at the same time as settle(). errc::closed: the inbox or the outbox was closed. Any other
  /// error is the inbox's or the outbox's. After such an error call abandon(): what was sent may never become durable.
  task<result<void>> take();
  /// Writes states and acknowledges messages, until take() has ended and nothing is left. errc::lease_lost ends it
  /// early.
  task<result<void>> settle();
  /// An account whose stored state says that it needs a repair, not before `next_try` (seconds since 1970).
  void consider_stored(const std::string& did, std::int64_t next_try);
  /// Changes the states of these accounts without an event. `what` returns false if it left the state as it was.
  /// Returns once all changed states are durable; repairs follow. At most some thousand accounts in one call: all of
  /// them stay in memory until then. errc::closed: the stage stops, and some may have been changed. errc::unsupported:
  /// accounts are not repaired.
  using account_change = std::function<bool(account& a)>;
  task<result<void>> change_accounts(std::vector<std::string> dids, account_change what);
  /// The same for a person's wish (account_changes.hpp).
  task<result<void>> fulfil(kv::wish w);

  /// Makes take() and settle() end without waiting for what is not durable. Close the outbox, too: take() may be
  /// waiting in it.
  void abandon() noexcept;

  /// Events that have been taken in. An event that is delivered again counts again.
  std::uint64_t taken() const noexcept { return taken_; }
  /// Of these, the events that have not settled.
  std::size_t unsettled() const noexcept { return order_.size() + chosen_ + settles_.unsettled(); }
  /// Of these, the events that have been applied or are being applied.
  std::size_t unstored() const noexcept { return settles_.unsettled() + (applying_since_ ? 1 : 0); }
  /// The time from which the oldest applied event has been waiting to settle. If there is none: the time at which the
  /// present event began to be applied. Events still in account_order do not count.
  std::optional<settlement::clock::time_point> oldest() const noexcept;
  /// How often an account went from synchronised to desynchronised since the start.
  std::uint64_t desynchronised() const noexcept { return apply_.desynchronised(); }
  /// Why states can't be read or written now; empty: they can.
  const std::string& last_error() const noexcept;
  /// Why keys can't be looked up now; empty: they can, or no look-up is under way.
  std::string look_up_error() const { return keys_.last_error(); }
  /// Accounts that are being repaired, and those that are due or will be.
  std::size_t repairs_under_way() const noexcept { return repairs_ ? repairs_->under_way() : 0; }
  std::size_t repairs_waiting() const noexcept { return repairs_ ? repairs_->waiting() : 0; }
  /// Accounts that would be repaired now if there were room.
  std::size_t repairs_due() const { return repairs_ ? repairs_->due() : 0; }
  /// How the repair after a loss goes on; null: accounts are not repaired.
  loss_count* after_loss() noexcept { return repairs_ ? &repairs_->after_loss() : nullptr; }
  const loss_count* after_loss() const noexcept { return repairs_ ? &repairs_->after_loss() : nullptr; }

 private:
  using chunk = std::vector<chosen_event>;

  bool full() const noexcept;
  void stop_repairs() noexcept;
  task<> take_messages(result<void>& ended);
  task<> apply_events(result<void>& ended);
  task<result<void>> apply_ready(nursery& waits);
  chunk choose(nursery& waits);
  void choose_one(kv_event e, chunk& into, nursery& waits);
  bool held_for_repair(account& a);
  task<result<void>> apply_chunk(chunk& events, nursery& waits);
  bool judge(chunk& events, std::size_t at, nursery& waits);
  bool judge_signed(chunk& events, std::size_t at, nursery& waits);
  void wait_for_key(chunk& events, std::size_t at, look_up_cause cause, nursery& waits);
  void hold_from(chunk& events, std::size_t at);
  bool directory_overwhelmed() const;
  kv_event put_down(chosen_event& c);
  void release(const std::string& did);

  nats::inbox& in_;
  nats::outbox& out_;
  event_decoder decode_;
  pipeline_limits limits_;
  bool verifying_;
  verification verify_;
  account_order order_;
  account_cache accounts_;
  settlement settles_;
  applier apply_;
  state_loads loads_;
  key_look_ups keys_;
  account_holds holds_;
  std::optional<repairs> repairs_;
  nursery* children_ = nullptr;  // while take() runs: for what it starts
  std::size_t popped_ = 0;
  std::uint64_t taken_ = 0;
  std::size_t chosen_ = 0;  // events that were taken from account_order, and are neither applied nor put back
  std::size_t chosen_bytes_ = 0;
  std::optional<settlement::clock::time_point> applying_since_;
  bool taking_ = true;  // false: no more messages are taken
  bool abandoned_ = false;
  event changed_;  // order_, taking_ or abandoned_ has changed
};

}  // namespace recordkv::stages
