// An account's state as text for a person, the words that select states, and counts of them.
//
// Owns: the lines of `repo list` and `repo show`, and what counts as desynchronised.
// Does not know: where states come from (repo_command.cpp).
#pragma once

#include "recordkv/kv/repo_state.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::cli {

/// The words of `repo list --status`. Some overlap:
///
///   inactive     not active at its host, whatever the store has of it. Includes removing and deleted.
///   incomplete, unverified   only accounts that may have records: not those that are deleted or removed.
///   followed     in full: `repo add`, or a list.
inline constexpr std::array<std::string_view, 9> account_words{"synchronised", "desynchronised", "incomplete",
                                                               "unverified",   "inactive",       "followed",
                                                               "removing",     "deleted",        "removed"};

/// How states are judged. If every commit has to be verified (kv.verify = "full"), a state that is not verified counts
/// as desynchronised.
struct account_rules {
  bool verified_only = false;
};

/// The status by these rules. An empty one is "unknown".
std::string_view status_of(const kv::repo_state& s, account_rules rules) noexcept;

/// Whether one of account_words, or the empty word, selects the state.
bool selects(std::string_view word, const kv::repo_state& s, account_rules rules) noexcept;

/// "1 account", "2 accounts".
std::string counted_accounts(std::uint64_t n);

/// One line of `repo list`, without its end. Seven columns, each one word: DID, status, upstream status, rev,
/// completeness, verification, and the first reason or "-".
std::string account_line(const kv::repo_state& s, account_rules rules);

/// `repo show`: one named line for each thing that is known. `written`: when the state was stored; `now`: seconds since
/// 1970.
std::string account_page(const kv::repo_state& s, account_rules rules, std::string_view written, double now);

/// Text from a state, which may hold anything, for a terminal: control characters become spaces.
std::string on_one_line(std::string_view text);

/// What `repo list` has read.
struct account_counts {
  std::uint64_t accounts = 0, desynchronised = 0, incomplete = 0, unverified = 0, inactive = 0;
  std::uint64_t followed = 0, removing = 0, deleted = 0, removed = 0;
  std::uint64_t unreadable = 0;  ///< not in `accounts`

  void add(const kv::repo_state& s, account_rules rules) noexcept;
  /// "3 accounts: 1 desynchronised, 2 incomplete, 0 unverified, 0 inactive". The others follow where there are any.
  std::string text() const;
};

}  // namespace recordkv::cli
