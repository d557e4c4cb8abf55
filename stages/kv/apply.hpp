// From an event to puts into the store: which of its changes are applied, and how the others are recorded.
//
// Owns: the comparison of an event with its account's state, the form of a record's message, and the marks and counters
// of what can't be applied (docs/invariants.md, "Flaws").
// Does not know: when a put is durable (settle.hpp), and how an event was decoded.
#pragma once

#include "account_cache.hpp"
#include "kv_event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/rate_limited.hpp"
#include "settle.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::stages {

struct apply_rules {
  unsigned partitions = 16;
  std::string bucket = "record";
  std::vector<std::string> collections{"*"};
  std::string filter;  ///< hash of collections, kept in each state
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

class applier {
 public:
  applier(nats::outbox& out, account_cache& accounts, settlement& settles, apply_rules rules, meters& counters);

  /// Applies one event, and hands it to the settlement. Its account must be in the cache, and stay there until this
  /// returns. Events of one account come in their order, one at a time. Suspends while the outbox is full or may not
  /// write. An error is the outbox's.
  task<result<void>> apply(kv_event e);

  /// How often an account went from synchronised to desynchronised since the start.
  std::uint64_t desynchronised() const noexcept { return desynchronised_; }

 private:
  task<result<void>> apply_commit(kv_event e);
  task<result<std::optional<nats::ordinal>>> apply_changes(account& a, const kv_event& e);
  task<result<std::optional<nats::ordinal>>> apply_change(account& a, const kv_event& e,
                                                          const atproto::record_change& c);
  task<result<nats::ordinal>> write_record(account& a, const kv_event& e, const atproto::record_change& c);
  task<result<nats::ordinal>> erase_record(const atproto::repo_event& e, const atproto::record_change& c);
  void apply_notice(kv_event e);

  void ignore(kv_event e, std::string_view why);
  void skip_event(kv_event e, std::string_view reason, std::string why);
  void skip_record(account& a, const kv_event& e, const atproto::record_change& c, std::string_view reason);
  void count_undecoded(const kv_event& e);
  void desynchronise(account& a, const event_handle& from, std::string_view reason, std::string why);

  bool wants(const std::string& collection) const;
  bool note_collection(account& a, const std::string& collection);

  nats::outbox& out_;
  account_cache& accounts_;
  settlement& settles_;
  apply_rules rules_;
  meters& counters_;
  std::uint64_t desynchronised_ = 0;
  rate_limited told_;
};

}  // namespace recordkv::stages
