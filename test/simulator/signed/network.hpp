// The signed network: the world's steps as messages of a relay.
//
// Owns: accounts, sequence numbers, the order of messages, the faults that the messages show.
// Does not know: sockets, clocks, how messages are kept. The same parameters and commands give the same messages.
#pragma once

#include "accounts.hpp"
#include "faults.hpp"
#include "messages.hpp"
#include "old_repos.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace recordkv::sim {

class network {
 public:
  using sink = std::function<void(std::uint64_t seq, std::string_view message)>;

  network(const parameters& p, signed_parameters q, fault_plan plan, sink to);

  /// The world's next step: any number of messages, also none. `left`: about so many commits are to come.
  void next(std::uint64_t left);
  /// The account writes one post now, an active one only.
  void post(account& a);
  /// A fault that concerns an account, at once. False: the account is not in the state for it.
  bool inject(fault f, account& a);
  /// A fault that concerns nothing else here has happened.
  void note(injection i) { log_.add(std::move(i)); }

  /// The account's repo as it was some commits ago, signed with its key of today; null: it is not kept.
  const repo* older(const account& a) const { return old_repos_.find(a.number); }

  sim::accounts& accounts() noexcept { return accounts_; }
  const parameters& rules() const noexcept { return world_.rules(); }
  fault_plan& plan() noexcept { return plan_; }
  const fault_log& log() const noexcept { return log_; }
  std::uint64_t seq() const noexcept { return seq_; }  ///< the last one given

 private:
  struct offer {  // a commit on its way to the stream
    account& who;
    std::span<const change> changes;
    committed made;
    commit_message message;
  };

  void create(account& a);
  void begin_repo(account& a, std::uint64_t rev);
  std::vector<change> changes_of(const account& a, const step& s, std::uint64_t rev) const;
  std::uint64_t next_rev(const account& a, std::uint64_t wanted) const;
  void publish(account& a, std::vector<change> changes, std::uint64_t rev);
  void adopt(account& a, const committed& made, std::span<const change> changes);
  commit_message message_of(const account& a, const committed& made, std::span<const change> changes) const;
  void empty_commit(account& a);
  void about_account(const step& s, account& a);
  void act_while_away(account& a, std::span<const change> changes, std::uint64_t rev);

  // network_faults.cpp
  bool fits(fault f, const account& a, std::span<const change> changes) const;
  bool show(fault f, offer& o);
  void show_after(fault f, const offer& o);
  void show_rival(fault f, const offer& o);
  void send_mutated(const offer& o);
  void spoil(account& a, std::vector<change>& changes, std::uint64_t rev) const;
  void rotate(fault f, account& a);
  bool leave(fault f, account& a, int steps);
  bool come_back(account& a);
  bool migrate(account& a);
  bool recreate(account& a);
  void happened(fault f, account& a, std::uint64_t rev, std::uint64_t seq);

  std::uint64_t take_seq() noexcept { return ++seq_; }
  void send(const commit_message& m) {
    const std::uint64_t seq = take_seq();
    sink_(seq, encode(m, seq));
  }
  void send_sync(const account& a);
  void send_identity(const account& a);
  void send_account(const account& a, std::string_view status);

  world world_;
  sim::accounts accounts_;
  old_repos old_repos_;
  fault_plan plan_;
  fault_log log_;
  sink sink_;
  std::uint64_t seq_ = 0;
  std::uint64_t now_us_ = 0;   // of the newest message
  std::uint64_t commits_ = 0;  // so far: the place that chance is drawn from
  std::uint64_t left_ = 0;
};

/// What a correct mirror has of the account in the end: "equal", "desynchronised", "inactive" or "gone".
std::string_view expectation(const account& a) noexcept;
/// The same of a mirror that repairs what it finds desynchronised, and that asks each account's PDS.
std::string_view repaired_expectation(const account& a) noexcept;

}  // namespace recordkv::sim
