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
#include <vector>

namespace recordkv::stages {

class state_loads {
 public:
  using load_function = decltype(state_port::load);
  /// `loaded` is called for each account once its state is in the cache.
  state_loads(load_function load, account_cache& accounts, std::function<void(const std::string& did)> loaded)
      : load_(std::move(load)), accounts_(accounts), loaded_(std::move(loaded)) {}

  /// The account's state is to be read. Ask once until `loaded`.
  void want(std::string did) {
    ++open_;
    wanted_.push_back(std::move(did));
  }
  std::size_t wanted() const noexcept { return wanted_.size(); }
  /// Reads those that are wanted, as one batch.
  void start(nursery& into);

  /// No account waits.
  bool idle() const noexcept { return open_ == 0; }
  /// Of the load that failed last; empty: none fails now.
  const std::string& last_error() const noexcept { return failed_ > 0 ? error_ : none_; }
  /// Ends all of it; nothing is called any more.
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
  std::size_t open_ = 0;  // accounts wanted and not yet loaded
  int failed_ = 0;        // loads under way that have failed, and try again
  std::string error_;
  const std::string none_;
  rate_limited told_;
  bool abandoned_ = false;
  event abandoning_;
};

}  // namespace recordkv::stages
