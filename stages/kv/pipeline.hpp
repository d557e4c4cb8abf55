// The pipeline of stage `kv`: decode, order, apply, settle.
//
//   inbox -> decoder -> account_order -> applier -> settlement -> acknowledgement
//
// Owns: the coroutines that take, apply and settle, and one for each batch of states that is read.
// Does not know: NATS. It has an inbox, an outbox, the functions of a state_port, and a decoder. Tests give it fakes.
//
// To add a step before the order, wrap the decoder. To add a step that waits for something about an account, hold the
// account in the order, as the reading of states does.
#pragma once

#include "account_cache.hpp"
#include "account_order.hpp"
#include "apply.hpp"
#include "decode.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"
#include "settle.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::stages {

/// Once a limit is reached no further batch is taken. So it is exceeded by at most one batch, and the bytes also by the
/// event that is being applied.
struct pipeline_limits {
  std::size_t cached_accounts = 250'000;
  std::size_t unsettled_events = 20'000;
  std::size_t unsettled_bytes = std::size_t{256} << 20;  ///< of their messages
  std::chrono::milliseconds gather{0};                   ///< pause after a write of states
};

class kv_pipeline {
 public:
  kv_pipeline(nats::inbox& in, nats::outbox& out, const state_port& states, event_decoder decode, apply_rules rules,
              pipeline_limits limits, meters& counters);

  /// Takes messages and applies their events, until the inbox closes. Run it beside settle(). errc::closed: the inbox
  /// or the outbox was closed. Any other error is the inbox's or the outbox's: call abandon() then, because what was
  /// sent may never become durable.
  task<result<void>> take();
  /// Writes states and acknowledges, until take() has ended and nothing is left. errc::lease_lost ends it early.
  task<result<void>> settle();
  /// Makes both end without waiting for what is not durable. Close the outbox, too: take() may be waiting in it.
  void abandon() noexcept;

  /// Events taken and not settled, the one that is being applied included.
  std::size_t unsettled() const noexcept { return order_.size() + settles_.unsettled() + (applying_since_ ? 1 : 0); }
  /// Since when the oldest applied event waits for its settlement; if there is none, since when the present event is
  /// being applied. Events still in the order do not count.
  std::optional<settlement::clock::time_point> oldest() const noexcept;
  /// How often an account went from synchronised to desynchronised since the start.
  std::uint64_t desynchronised() const noexcept { return apply_.desynchronised(); }
  /// Why states can't be read or written now; empty: they can.
  const std::string& last_error() const noexcept { return failed_loads_ > 0 ? load_error_ : settles_.last_error(); }

 private:
  bool full() const noexcept;
  task<> take_messages(result<void>& ended);
  task<> apply_events(result<void>& ended);
  task<result<void>> apply_ready(nursery& loads);
  task<> load(std::vector<std::string> dids);
  std::vector<std::string> keep_loaded(const std::vector<std::string>& dids,
                                       std::vector<result<state_port::stored>> found);

  nats::inbox& in_;
  state_port states_;
  event_decoder decode_;
  pipeline_limits limits_;
  account_order order_;
  account_cache accounts_;
  settlement settles_;
  applier apply_;
  std::optional<settlement::clock::time_point> applying_since_;
  std::string load_error_;  // of the load that failed last
  int failed_loads_ = 0;    // loads under way that have failed, and try again
  rate_limited told_;
  bool taking_ = true;  // false: no more messages are taken
  bool abandoned_ = false;
  event changed_;  // the order, taking_ or abandoned_ has changed
  event abandoned_event_;
};

}  // namespace recordkv::stages
