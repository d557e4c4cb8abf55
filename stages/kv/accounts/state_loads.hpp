// Reading the states of accounts whose events wait for them.
//
// Owns: which accounts are to be read, batches, repeated attempts, why reading fails now.
// Does not know: the order of events, and bucket `repo`.
#pragma once

#include "account_cache.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/rate_limited.hpp"

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

namespace recordkv::stages {

class state_loads {
 public:
  using load_function = decltype(state_port::load);
  /// `loaded` is called for each account once its state is in the cache.
  state_loads(load_function load, account_cache& accounts, std::function<void(const std::string& did)> loaded)
      : load_(std::move(load)), accounts_(accounts), loaded_(std::move(loaded)) {}

  /// Asks for the account's state, unless it is being read already.
  void want(const std::string& did) {
    if (open_.insert(did).second) wanted_.push_back(did);
  }
  std::size_t wanted() const noexcept { return wanted_.size(); }
  /// Reads the wanted states, as one batch.
  void start(nursery& into);

  /// No account waits.
  bool idle() const noexcept { return open_.empty(); }
  /// The error of the load that failed last; empty: no load fails now.
  const std::string& last_error() const noexcept { return failed_ > 0 ? error_ : none_; }
  /// Ends all loads. `loaded` is not called any more.
  void abandon() noexcept {
    abandoned_ = true;
    abandoning_.notify();
  }

 private:
  task<> load(std::vector<std::string> dids);
  std::vector<std::string> keep(const std::vector<std::string>& dids, std::vector<result<state_port::stored>> found);

  load_function load_;
  account_cache& accounts_;
  std::function<void(const std::string& did)> loaded_;
  std::vector<std::string> wanted_;
  std::unordered_set<std::string> open_;  // accounts wanted and not yet loaded
  int failed_ = 0;                        // loads that have failed and are being tried again
  std::string error_;
  const std::string none_;
  rate_limited told_;
  bool abandoned_ = false;
  event abandoning_;
};

}  // namespace recordkv::stages
