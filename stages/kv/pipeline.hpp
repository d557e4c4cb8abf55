// The pipeline of stage `kv`: decode, order, apply, settle.
//
//   inbox -> decoder -> account_order -> applier -> settlement -> acknowledgement
//
// Owns: the three coroutines that move events along, and the reading of states that are not in memory.
// Does not know: NATS. It has an inbox, an outbox, bucket `repo` as two functions, and a decoder. Tests give it fakes.
//
// A step between decode and order is another event_decoder around this one. A step that must wait for something of an
// account holds that account in the order, as the reading of states does.
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

struct pipeline_limits {
  std::size_t cached_accounts = 250'000;
  std::size_t unsettled_events = 20'000;  ///< taken and not settled; beyond it no message is taken
  std::chrono::milliseconds gather{0};    ///< between two writes of states
};

class kv_pipeline {
 public:
  kv_pipeline(nats::inbox& in, nats::outbox& out, state_port states, event_decoder decode, apply_rules rules,
              pipeline_limits limits, meters& counters);

  /// Takes messages until the inbox closes, and applies their events. Run it beside settle().
  task<result<void>> take();
  /// Writes states and acknowledges, until take() has ended and nothing is left. errc::lease_lost ends it early.
  task<result<void>> settle();
  /// Ends both without waiting for what is not durable.
  void abandon() noexcept;

  /// Events taken and not settled.
  std::size_t unsettled() const noexcept { return order_.size() + settles_.unsettled(); }
  /// When the oldest event that was applied and has not settled was applied.
  std::optional<settlement::clock::time_point> oldest() const noexcept { return settles_.oldest(); }
  /// Accounts that became desynchronised, or were found so, since the start.
  std::uint64_t desynchronised() const noexcept { return apply_.desynchronised(); }

 private:
  task<> take_messages(result<void>& ended);
  task<> apply_events(result<void>& ended);
  task<result<void>> apply_ready(nursery& loads);
  task<> load(std::vector<std::string> dids);

  nats::inbox& in_;
  state_port states_;
  event_decoder decode_;
  pipeline_limits limits_;
  account_order order_;
  account_cache accounts_;
  settlement settles_;
  applier apply_;
  bool taking_ = true;
  bool abandoned_ = false;
  event pushed_;  // the order has changed, or nothing more comes
};

}  // namespace recordkv::stages
