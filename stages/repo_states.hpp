// The accounts' states in bucket `repo`, as the applier reads and writes them.
//
// Owns: the bucket, which accounts have a state at all, compare-and-set of many, and asking for the lock before it.
// Refuses to know: what a state means, and when it may be written (kv_apply.hpp, X9).
#pragma once

#include "begun_accounts.hpp"
#include "kv_apply.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/owner.hpp"
#include "recordkv/stage.hpp"

#include <functional>
#include <string>
#include <vector>

namespace recordkv::stages {

class repo_states {
 public:
  repo_states(stage_context& ctx, kv::owner& owner) : ctx_(ctx), owner_(owner), repo_(ctx.nc, ctx.names().repo()) {}

  state_port port() {
    return {.load = [this](std::vector<std::string> dids) { return load(std::move(dids)); },
            .save = [this](std::vector<state_port::stored> s) { return save(std::move(s)); }};
  }

  /// Only stage `kv` writes states: once those that stood at the start are known, an account outside has none, and
  /// looking for it would cost a round trip for each account of the network.
  task<> learn_begun(std::function<bool()> go_on);

  /// What waits for NATS waits no longer.
  void give_up() noexcept {
    given_up_ = true;
    pause_.notify();
  }

 private:
  task<result<std::vector<state_port::stored>>> load(std::vector<std::string> dids);
  task<result<std::vector<std::uint64_t>>> save(std::vector<state_port::stored> states);
  task<result<void>> may_write();
  std::vector<kv::write> writes_of(const std::vector<state_port::stored>& states,
                                   const std::vector<std::size_t>& which);
  task<result<std::uint64_t>> after_conflict(const state_port::stored& s);

  stage_context& ctx_;
  kv::owner& owner_;
  kv::bucket repo_;
  account_set begun_;
  bool begun_known_ = false;
  bool given_up_ = false;
  event pause_;
};

}  // namespace recordkv::stages
