// Writes that NATS took back (docs/invariants.md X20).
//
// nats-server acknowledges a write before it is on disk. After a crash, or after a restore of an older copy, the store
// may end earlier than the account states say. Before each batch of states, the last put of each partition is therefore
// written beside them (last_puts.hpp). At every attach, and after every reconnect before anything is read or written,
// the store is asked whether these puts are still there.
//
// Owns: the keys `at.{p}` of bucket `repo`, the question, and what follows from a loss at an attach: the generation of
// `meta` rises, and the accounts concerned are marked.
// Does not know: how a marked account is repaired. If a loss shows while the stage runs, the stage must begin again:
// what it has in memory may be newer than what NATS has.
#pragma once

#include "../accounts/account_cache.hpp"
#include "last_puts.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/stage/lifecycle.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::stages {

class lost_writes {
 public:
  /// `states`: as they are written without this. `labels`: the partitions of this process.
  lost_writes(lifecycle& life, state_port states, std::vector<std::string> labels);

  /// The same states; each batch waits until the puts before it are noted.
  state_port port();
  /// A put is stored, and so are all before it. `subject`: in the store's bucket.
  void passed(std::string_view subject, std::uint64_t seq);

  /// Reads the keys, asks the store, and does what follows from a loss. The caller holds the lease, and has put nothing
  /// yet. Returns once all marks are durable: a kill before that leads to the same marks at the next start.
  /// `set_back`: an earlier object has found a loss in this process. Then the generation rises in any case.
  task<result<void>> attach(bool set_back = false);

  /// The store was asked on this connection, and everything that is known to be stored was there.
  bool stand() const noexcept { return !taken_back_ && asked_on_ == ctx_.nc.connects(); }
  /// Asks unless stand(). False: a loss was found, or NATS has not answered.
  task<bool> ask();
  /// Whether frames of this connection may be compared with the states in memory. After a loss these are ahead of the
  /// store: a frame that is read again would pass for a repetition, and its acknowledgement would lose it.
  /// errc::closed: a loss was found. errc::lease_lost. Any other error: not known yet, so the caller tries again.
  task<result<void>> may_read();
  /// A loss was found since attach(). Nothing may be written any more.
  bool found() const noexcept { return taken_back_; }
  /// Called once, when a loss is found since attach().
  std::function<void()> on_found;
  /// For a stage that has failed: whether a loss explains it. Asks in any case. While NATS does not answer, asks again
  /// until the stage is closed.
  task<bool> explains_failure();
  /// Ends the waits of port().
  void close() noexcept;

 private:
  struct partition {
    last_puts puts;
    std::uint64_t key_seq = 0;      // of key at.{p}, for compare-and-set
    std::uint64_t written_seq = 0;  // of the store: the newest put that the key names
  };
  using partitions = std::map<std::string, partition, std::less<>>;
  using verdicts = std::map<std::string, puts_verdict, std::less<>>;

  task<result<void>> read(partitions::value_type& p);
  task<result<verdicts>> look();
  task<result<void>> look_at(std::vector<kept_put> puts, puts_verdict& into);
  task<result<bool>> streams_are_shorter();
  error was_set_back() const;

  task<result<void>> end_loss(const verdicts& lost);
  task<result<void>> raise_generation();
  task<result<std::size_t>> mark(const verdicts& lost);
  task<result<std::vector<std::string>>> accounts_to_mark(const verdicts& lost);
  task<result<std::size_t>> mark_some(std::vector<std::string> dids, const verdicts& lost);

  task<result<std::vector<std::uint64_t>>> save(const std::vector<state_port::stored>& states);
  task<result<void>> note_puts(const std::vector<state_port::stored>& states);
  task<result<void>> write(std::vector<partitions::value_type*> which);
  task<result<void>> after_conflict(partitions::value_type& p);
  std::string label_of(std::string_view did) const;

  lifecycle& life_;
  stage_context& ctx_;
  state_port states_;
  kv::bucket repo_;
  std::string prefix_;  // of the store's subjects
  partitions partitions_;
  std::uint64_t states_seq_ = 0;  // the highest sequence that bucket `repo` has acknowledged
  std::string created_;           // of the store's stream, at attach()
  std::uint64_t asked_on_ = 0;
  bool asking_ = false, taken_back_ = false, closed_ = false;
  bool unanswered_ = false;  // the last question; asking again may help
  event asked_, closing_;
};

}  // namespace recordkv::stages
