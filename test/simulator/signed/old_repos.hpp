// What accounts were some commits ago, for a PDS that answers with an old copy.
//
// Owns: the last repos of the accounts that committed last, a bounded number. Repos share their unchanged nodes.
// Does not know: why a repo is old, and what asks for it.
#pragma once

#include "repo.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

namespace recordkv::sim {

class old_repos {
 public:
  static constexpr std::size_t commits = 3;     ///< so old a copy is
  static constexpr std::size_t accounts = 500;  ///< of which copies are kept

  void keep(std::uint32_t account, repo before) {
    if (before.rev == 0) return;
    const auto [at, is_new] = of_.try_emplace(account);
    if (is_new) order_.push_back(account);
    at->second.push_back(std::move(before));
    if (at->second.size() > commits) at->second.pop_front();
    if (order_.size() > accounts) of_.erase(order_.front()), order_.pop_front();
  }
  /// The copies of before are of no use.
  void forget(std::uint32_t account) {
    if (const auto at = of_.find(account); at != of_.end()) at->second.clear();
  }
  /// The oldest copy; null: there is none.
  const repo* find(std::uint32_t account) const {
    const auto at = of_.find(account);
    return at == of_.end() || at->second.empty() ? nullptr : &at->second.front();
  }

 private:
  std::unordered_map<std::uint32_t, std::deque<repo>> of_;
  std::deque<std::uint32_t> order_;
};

}  // namespace recordkv::sim
