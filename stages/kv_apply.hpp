// From events to records: what is applied, in which order, and when it counts as done.
//
// Owns: the accounts' states in memory, the queue of events whose puts are not yet durable, the order
// puts -> states -> acknowledgement (docs/invariants.md X8, X9).
// Refuses to know: NATS itself: it has an inbox, an outbox, and two functions over bucket `repo`. Tests give it fakes.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/rate_limited.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "recordkv/nats/ports.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace recordkv::stages {

/// Bucket `repo` as the applier needs it. Both may suspend; an error other than not_owner is retried by the caller.
struct state_port {
  struct stored {
    kv::repo_state state;
    std::uint64_t seq = 0;  ///< 0: no state stands there
  };
  /// The states of these accounts, in the order asked.
  std::function<task<result<std::vector<stored>>>(std::vector<std::string> dids)> load;
  /// Compare-and-set of each; returns the new sequences. errc::not_owner: another process writes states.
  std::function<task<result<std::vector<std::uint64_t>>>(std::vector<stored> states)> save;
};

struct apply_rules {
  unsigned partitions = 16;
  std::string bucket = "record";
  std::vector<std::string> collections{"*"};
  std::string filter;  ///< hash of collections, kept in each state
  std::size_t cached_accounts = 250'000;
  std::size_t unsettled_events = 20'000;
  std::chrono::milliseconds gather{0};  ///< between two writes of states
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

class kv_apply {
 public:
  kv_apply(nats::inbox& in, nats::outbox& out, state_port states, apply_rules rules, meters& counters);

  /// Takes events until the inbox closes. Run it beside settle().
  task<result<void>> take();
  /// Writes states and acknowledges, until take() has ended and nothing is left. errc::not_owner ends it early.
  task<result<void>> settle();
  /// Ends settle() without waiting for what is not durable.
  void abandon() noexcept;

  std::size_t unsettled() const noexcept { return waiting_.size() + settling_; }
  /// Since when the oldest event is neither settled nor given up: its puts, its state or its acknowledgement is
  /// awaited.
  std::optional<std::chrono::steady_clock::time_point> oldest() const noexcept {
    if (settling_ > 0) return settling_since_;
    return waiting_.empty() ? std::nullopt : std::optional(waiting_.front().since);
  }
  /// Accounts that became, or were found, desynchronised since the start.
  std::uint64_t stale_seen() const noexcept { return stale_seen_; }

 private:
  struct account {
    kv::repo_state newest;   // after the last event taken
    kv::repo_state settled;  // after the last event below the floor: what may be written (X9)
    std::uint64_t seq = 0;   // of its key, for compare-and-set
    std::size_t held = 0;    // events in waiting_ and writes under way: not evictable
    bool dirty = false;
    std::list<std::string>::iterator recent;
  };
  struct event_in_flight {
    nats::ordinal last;
    nats::message from;
    account* who;  // null when no state changes
    kv::repo_state after;
    std::chrono::steady_clock::time_point since;
  };

  task<result<void>> load_missing(const std::vector<atproto::repo_event>& events);
  task<result<void>> apply(nats::message from, atproto::repo_event e);
  task<result<void>> apply_commit(nats::message from, atproto::repo_event e);
  task<result<nats::ordinal>> write_record(const nats::message& from, const atproto::repo_event& e,
                                           const atproto::record_change& c);
  task<result<nats::ordinal>> erase_record(const atproto::repo_event& e, const atproto::record_change& c);
  // what is not applied (kv_flaws.cpp)
  atproto::repo_event undecoded(const nats::message& m, const error& why);
  bool lost_by_lateness(const nats::message& from, const atproto::repo_event& e) const;
  void leave_out(nats::message from, const atproto::repo_event& e, std::string_view reason, std::string why);
  void leave_out_record(const nats::message& from, const atproto::repo_event& e, const atproto::record_change& c,
                        std::string_view reason);
  void note_stream_event(nats::message from, const atproto::repo_event& e);
  bool begins_collection(account& a, const std::string& collection);
  bool chain_broken(const account& a, const atproto::repo_event& e) const;
  void skip(nats::message from, std::string_view why);
  void desynchronise(account& a, const nats::message& from, std::string_view reason, std::string why);
  void hold(nats::ordinal last, nats::message from, account* who);
  account& touch(const std::string& did);
  void evict();
  std::vector<nats::message> collect_durable();
  task<result<void>> write_states();

  nats::inbox& in_;
  nats::outbox& out_;
  state_port states_;
  apply_rules rules_;
  meters& counters_;
  std::unordered_map<std::string, account> accounts_;
  std::list<std::string> recent_;  // least recently used first
  std::deque<event_in_flight> waiting_;
  std::size_t settling_ = 0;  // durable, and their states on the way
  std::chrono::steady_clock::time_point settling_since_;
  std::vector<account*> dirty_;
  std::uint64_t stale_seen_ = 0;
  rate_limited told_;
  bool taking_ = true;
  bool abandoned_ = false;
  event freed_;
  event pause_;
};

}  // namespace recordkv::stages
