// Exports of repos that are made before the first request, so that an answer costs the network no work.
//
// Owns: the bytes of each, and whether they are still those of the account's repo.
// Does not know: requests, and in which order an export has its blocks but for the number of its account.
#pragma once

#include "accounts.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

namespace recordkv::sim {

/// Accounts of odd number give their blocks in reverse.
constexpr bool is_reversed(const account& a) noexcept { return a.number % 2 == 1; }

class kept_exports {
 public:
  /// Of every account that has a repo now.
  void make(accounts& all);
  /// The export of this repo of the account; null: none is kept.
  std::shared_ptr<const std::string> find(const account& a, const repo& r) const;

 private:
  struct kept {
    cid commit;
    std::shared_ptr<const std::string> car;
  };
  std::unordered_map<std::uint32_t, kept> of_;  // by the account's number
};

}  // namespace recordkv::sim
