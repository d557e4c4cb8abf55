// From an event to puts into the store: which of its changes are applied, and how the others are recorded.
//
// Owns: the comparison of an event with its account's state, and the form of a record's message. Also the marks and
// counters of what can't be applied (docs/invariants.md, "Flaws").
// Does not know: when a put is durable (settle.hpp), how an event was decoded, how its signature was checked
// (pipeline.hpp).
#pragma once

#include "accounts/account_cache.hpp"
#include "accounts/kv_event.hpp"
#include "accounts/record_writer.hpp"
#include "accounts/settle.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/rate_limited.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::stages {

/// With which event an account begins that the store does not have (repos.mode).
enum class beginning {
  with_wanted,  ///< a commit that touches a wanted collection (X16)
  never,        ///< it must be listed or added
  with_signal,  ///< a commit that writes a record of apply_rules::signal
  with_any,     ///< any commit, or #sync
};

struct apply_rules {
  unsigned partitions = 16;
  std::string bucket = "record";
  std::vector<std::string> collections{"*"};
  std::string filter;   ///< hash of collections, kept in each state
  bool verify = false;  ///< a commit or #sync of a firehose has no effect before its signature was checked
  /// Accounts are repaired: #account is believed once the account's PDS confirms it (X11, X15).
  bool repairs = false;
  /// Except with_wanted, an account that begins is followed in full: what it had before is fetched.
  beginning begins = beginning::with_wanted;
  std::string signal;
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

class applier {
 public:
  /// `changed` is called when an account may need a repair.
  applier(nats::outbox& out, account_cache& accounts, settlement& settles, apply_rules rules,
          std::function<void(const account&)> changed, meters& counters);

  /// Whether the event is a commit or #sync with a proof, and its effect depends on its signature. The cheap checks
  /// come first and need no signature: inactive account, repetition, not begun, no wanted collection, future rev.
  bool needs_verdict(const account& a, const kv_event& e) const;

  /// Applies one event, and hands it to the settlement. Its account must be in the cache, and must stay there until the
  /// call returns. Events of one account must come in their order, one at a time. If needs_verdict(), kv_event::worth
  /// must be proven or discontinuity. Suspends while the outbox is full or may not write. Errors are the outbox's.
  task<result<void>> apply(kv_event e);

  /// Settles an event that is not proven to be of its account. The event has no effect on that account.
  void drop(kv_event e, std::string_view reason);
  /// Settles an event whose signature can't be judged, because the account's key can't be found. `failure`: a word
  /// of account::look_up_failure. An account that has a state is marked.
  void give_up(kv_event e, std::string_view failure);

  /// How often an account went from synchronised to desynchronised since the start.
  std::uint64_t desynchronised() const noexcept { return desynchronised_; }

 private:
  std::string_view without_effect(const account& a, const kv_event& e) const;
  std::string_view why_not_begun(const atproto::repo_event& e) const;
  void dismiss(kv_event e, std::string_view why);
  bool strict(const kv_event& e) const;
  bool believes_account(const account& a, const kv_event& e) const;
  static bool has_verdict(const kv_event& e);

  task<result<void>> apply_commit(kv_event e);
  void skip_commit(kv_event e);
  void note_verdict(account& a, const kv_event& e);
  bool note_progress(account& a, kv_event& e);
  void note_beginning(account& a);
  task<result<std::optional<nats::ordinal>>> apply_changes(account& a, kv_event& e);
  task<result<std::optional<nats::ordinal>>> apply_change(account& a, const kv_event& e, atproto::record_change& c);
  task<result<nats::ordinal>> write_record(account& a, const kv_event& e, atproto::record_change& c);

  void apply_sync(kv_event e);
  void advance(account& a, const atproto::repo_event& e);
  void apply_account(kv_event e);
  void apply_account_to_confirm(kv_event e, account& a);
  void apply_identity(kv_event e);
  void apply_notice(kv_event e);

  void ignore(kv_event e, std::string_view why);
  void skip_event(kv_event e, std::string_view reason, std::string why);
  void skip_record(account& a, const kv_event& e, const atproto::record_change& c, std::string_view reason);
  void count_undecoded(const kv_event& e);
  void count_skipped(const kv_event& e, std::string_view reason, std::string_view detail);
  void tell_skipped(const kv_event& e, const std::string& host, std::string_view reason);
  /// What the store lacks: something of this event, or only something older.
  enum class lacking { of_this, of_older };
  void desynchronise(account& a, const kv_event& e, std::string_view reason, const std::string& why,
                     lacking what = lacking::of_this);
  void mark(account& a, std::string_view reason, std::string why);

  bool wants(const std::string& collection) const;

  nats::outbox& out_;
  account_cache& accounts_;
  settlement& settles_;
  apply_rules rules_;
  std::function<void(const account&)> changed_;
  meters& counters_;
  record_writer writer_;
  std::uint64_t desynchronised_ = 0;
  rate_limited told_;
};

}  // namespace recordkv::stages
