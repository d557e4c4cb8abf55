// The accounts' states in bucket `repo`, as the pipeline reads and writes them.
//
// Owns: the bucket, which accounts have a state at all, and the writing of many states by compare-and-set, after a
// check of the lease.
// Does not know: what a state means, and when it may be written (settle.hpp, X9).
#pragma once

#include "accounts/account_cache.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/known_accounts.hpp"
#include "recordkv/stage.hpp"
#include "recordkv/stage/lifecycle.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::stages {

class repo_states {
 public:
  /// `every_account`: whether accounts are repaired that are not followed.
  repo_states(lifecycle& life, bool every_account)
      : life_(life), ctx_(life.context()), every_account_(every_account), repo_(ctx_.nc, ctx_.names().repo()) {}

  state_port port() {
    return {.load = [this](std::vector<std::string> dids) { return load(std::move(dids)); },
            .save = [this](const std::vector<state_port::stored>& s) { return save(s); }};
  }

  /// Reads the list of accounts that have a state. Once the list is complete, load() asks NATS only for accounts on it.
  /// No other account can have a state, because only stage `kv` writes states and adds to the list. If the reading
  /// fails, load() asks NATS for every account.
  /// `to_repair` is called for each whose state asks for a repair.
  task<result<void>> learn_known_accounts(std::function<bool()> go_on,
                                          std::function<void(const std::string& did, std::int64_t next_try)> to_repair);

  /// learn_known_accounts() calls it for each account that needs a repair because of a loss (loss_marks.hpp). May be
  /// empty.
  std::function<void(const std::string& did)> on_loss_mark;

  /// How many accounts have a state; nullopt: not read yet.
  std::optional<std::size_t> known() const { return accounts_known_ ? std::optional(known_.size()) : std::nullopt; }

  /// From now on save() does not retry: it returns the next error. If save() waits for the lease, it returns
  /// errc::closed.
  void give_up() noexcept {
    given_up_ = true;
    pause_.notify();
  }

 private:
  task<std::vector<result<state_port::stored>>> load(std::vector<std::string> dids);
  task<result<std::vector<std::uint64_t>>> save(const std::vector<state_port::stored>& states);
  task<result<void>> may_write();
  std::vector<kv::write> writes_of(const std::vector<state_port::stored>& states,
                                   const std::vector<std::size_t>& which);
  task<result<std::uint64_t>> after_conflict(const state_port::stored& s);

  lifecycle& life_;
  stage_context& ctx_;
  bool every_account_;
  kv::bucket repo_;
  kv::known_accounts known_;
  bool accounts_known_ = false;
  bool given_up_ = false;
  event pause_;
};

}  // namespace recordkv::stages
