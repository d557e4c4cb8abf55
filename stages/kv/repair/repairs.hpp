// The repair of accounts: their repos are fetched, and the store is made equal to them. Also the removal of accounts.
//
// Owns: which account is repaired when, how many at a time, what becomes of a failure, and the order of the steps.
// Does not know: requests and their URLs (xrpc/pds_client.hpp), how events are applied, NATS.
#pragma once

#include "../accounts/account_holds.hpp"
#include "../accounts/key_look_ups.hpp"
#include "../accounts/record_writer.hpp"
#include "../accounts/worker_pool.hpp"
#include "loss_count.hpp"
#include "place_waits.hpp"
#include "recordkv/atproto/repo_export.hpp"
#include "recordkv/xrpc/host_budget.hpp"
#include "recordkv/xrpc/pds_client.hpp"
#include "repair_queue.hpp"
#include "repo_diff.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::stages {

/// What repairs need of the world. Tests give fakes.
struct repair_port {
  std::function<task<xrpc::pds_client::answer<xrpc::fetched_repo>>(std::string pds, std::string did)> get_repo;
  std::function<task<xrpc::pds_client::answer<xrpc::repo_status>>(std::string pds, std::string did)> get_status;
  /// Empty: an account with a gap of its source is fetched without asking first.
  std::function<task<xrpc::pds_client::answer<xrpc::latest_commit>>(std::string pds, std::string did)> get_latest;
  /// The account's keys in the store. `collections`: those of its state. `expected`: as in kv::read_account_keys.
  std::function<task<result<std::vector<kv::stored_key>>>(std::string did, std::vector<std::string> collections,
                                                          std::size_t expected)>
      keys;
  /// Calls `show` for each account whose stored state says that it needs a repair. After an error, for some of them.
  std::function<task<result<void>>(std::function<void(const std::string& did, std::int64_t next_try)> show)> stored;
  /// Ends all of these with errc::closed.
  std::function<void()> close;
};

struct repair_rules {
  /// True: every desynchronised account is fetched. False: only accounts that are followed in full.
  bool every_account = false;
  bool remove_inactive = true;                            ///< kv.on_inactive = "remove"
  std::vector<std::string> collections{"*"};              ///< what the store wants
  std::string filter;                                     ///< their hash, kept in each state
  std::size_t max_waiting = 10'000;                       ///< accounts in memory; the others are read again later
  std::size_t at_once = 128;                              ///< repairs under way, requests or not
  xrpc::host_limits hosts;                                ///< requests under way
  std::chrono::milliseconds first_retry{60'000};          ///< doubles with each failure, up to 60 times as much
  std::chrono::milliseconds between{60'000};              ///< between two fetches of one account (X14)
  std::chrono::seconds patience{std::chrono::hours(72)};  ///< with a PDS that does not confirm a deletion (X15)
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

class repairs {
 public:
  repairs(account_holds& holds, settlement& settles, record_writer writer, worker_pool& pool, identity_port identity,
          repair_port port, repair_rules rules, meters& counters);

  /// The account's state has changed. If it needs a repair, it gets one, now or when its next try is due.
  void consider(const account& a);
  /// An account whose stored state says that it needs a repair. `next_try`: seconds since 1970.
  void consider_stored(const std::string& did, std::int64_t next_try);

  /// Repairs accounts until close(). Its children run in `into`.
  task<> run(nursery& into);
  /// Ends the repairs under way. Those that have not written their state yet begin again at the next start.
  void close() noexcept;

  std::size_t waiting() const noexcept { return queue_.waiting(); }
  /// Accounts that would be repaired now if there were room, or a place at their host.
  std::size_t due() const { return queue_.due(rules_.now() + longest_place_pause); }
  std::size_t under_way() const noexcept { return queue_.under_repair(); }
  /// Of the accounts that are marked because events or writes may be lost.
  loss_count& after_loss() noexcept { return loss_; }
  const loss_count& after_loss() const noexcept { return loss_; }

 private:
  using clock = std::chrono::system_clock;
  /// An account whose host has no place asks again at the latest after this time. Mostly a place is given to it before.
  static constexpr std::chrono::seconds longest_place_pause{1};
  /// After a request that failed because of NATS or of this process's own bounds.
  static constexpr std::chrono::seconds own_pause{5};

  /// How an attempt ended.
  struct outcome {
    enum class kind { done, failed, later, stopped } what = kind::done;
    std::string word;         ///< failed: the reason, as in counters
    std::string text;         ///< failed: for a person
    clock::duration pause{};  ///< later: when it may be tried again; such an attempt counts as no failure
  };
  static outcome failed(std::string_view word, std::string text) {
    return {.what = outcome::kind::failed, .word = std::string(word), .text = std::move(text)};
  }
  static outcome stopped() { return {.what = outcome::kind::stopped}; }

  bool needs_repair(const kv::repo_state& s) const;
  clock::time_point due(const account& a) const;
  bool may_read_states() const;
  task<> find_more();
  task<> repair(std::string did, nursery& into);
  task<outcome> attempt(account& a);
  void finish(account& a, const outcome& out);
  void note_loss(const account& a);
  void note_failure(account& a, const outcome& out);
  void note_gone(kv::repo_state& s, std::string_view word) const;

  task<outcome> identify(account& a, bool afresh);
  task<outcome> confirm(account& a);
  outcome after_status(account& a, const xrpc::pds_client::answer<xrpc::repo_status>& said);
  outcome outcome_of(const std::string& host, const xrpc::pds_client::failure& f);

  task<std::optional<outcome>> check_latest(account& a);
  std::optional<outcome> after_latest(account& a, const xrpc::pds_client::answer<xrpc::latest_commit>& said);
  outcome note_checked(account& a);
  void note_not_served(account& a, std::string_view word);

  task<outcome> resync(account& a);
  task<outcome> resync_from(account& a, atproto::repo_export repo);
  task<result<atproto::repo_export>> read_export(std::string car, std::string did);
  task<outcome> make_equal(account& a, const atproto::repo_export& repo);
  task<result<nats::ordinal>> write_diff(account& a, const atproto::repo_export& repo, repo_diff diff);
  task<result<void>> write_puts(account& a, const atproto::repo_export& repo, std::vector<repo_diff::put>& puts,
                                nats::ordinal& last);
  task<result<void>> write_put(account& a, const atproto::repo_event& of, repo_diff::put& p, result<std::string> json,
                               nats::ordinal& last);
  task<result<void>> erase(const atproto::repo_event& of, std::string collection, std::string rkey, std::string cid,
                           nats::ordinal& last);
  void note_differing(std::size_t records);
  task<bool> note_collections(account& a, const repo_diff& diff);
  void note_repaired(account& a, const commit_journal::continuation& now);

  using condition = bool (*)(const kv::repo_state& s);
  task<outcome> clear(account& a, std::string_view status, condition still);
  void note_cleared(account& a, std::string_view status);
  outcome wait_for_place(const account& a);
  void give_place();
  clock::duration place_pause(const std::string& host) const;

  std::int64_t seconds_now() const;
  clock::duration retry_pause(unsigned tries);

  account_holds& holds_;
  settlement& settles_;
  record_writer writer_;
  worker_pool& pool_;
  identity_port identity_;
  repair_port port_;
  repair_rules rules_;
  meters& counters_;
  repair_queue queue_;
  loss_count loss_;
  xrpc::host_budget hosts_;
  place_waits place_waits_;
  std::minstd_rand random_{std::random_device{}()};
  rate_limited told_;
  bool reading_ = false;                    // find_more() is under way
  clock::time_point read_, retry_reading_;  // when find_more() has ended; not before, after an error
  bool overflow_ = false;                   // the queue has dropped accounts
  bool closed_ = false;
  event woken_;
};

}  // namespace recordkv::stages
