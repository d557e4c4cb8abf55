// The accounts' states in memory.
//
// Owns: the states, which of them may be forgotten, and the shape of bucket `repo` as this stage needs it.
// Does not know: NATS (repo_states.hpp), and what an event changes in a state.
#pragma once

#include "recordkv/atproto/signature.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/kv/repo_state.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace recordkv::stages {

/// Bucket `repo`. Both functions may suspend. save() ends early once the stage gives up.
struct state_port {
  struct stored {
    kv::repo_state state;
    std::uint64_t seq = 0;  ///< sequence of its key, for compare-and-set; 0: there is no key
  };
  /// The states of these accounts, in the order asked, each with its own error: the caller asks again for those alone.
  std::function<task<std::vector<result<stored>>>(std::vector<std::string> dids)> load;
  /// Compare-and-set of each; returns the new sequences. Waits while NATS does not answer. errc::lease_lost: another
  /// process writes states. Any other error: the caller passes the same states again. Those that were written already
  /// are recognised.
  std::function<task<result<std::vector<std::uint64_t>>>(std::vector<stored> states)> save;
};

/// One account. Its address stays the same while it is in use.
struct account {
  kv::repo_state newest;  ///< after the last event that was applied
  /// What is to be written: the state after the last event whose puts are durable (X9). Null: it is written.
  std::unique_ptr<kv::repo_state> durable;
  std::uint64_t seq = 0;                   ///< sequence of its key in bucket `repo`
  std::size_t held = 0;                    ///< events that were applied, and whose puts are not durable
  std::size_t chosen = 0;                  ///< events that were taken from the order, and are not applied yet
  std::size_t look_ups = 0;                ///< of its identity, under way or waiting
  std::optional<atproto::public_key> key;  ///< newest.key, parsed
  bool key_unsaved = false;          ///< a look-up has changed the key since the state was handed on to be written
  std::string_view look_up_failure;  ///< a word: the last look-up failed, and no event has been told yet
  std::optional<std::chrono::steady_clock::time_point> doubted;  ///< when a bad signature last caused a look-up
  std::list<std::string>::iterator recent;

  /// It has a state: its records are stored from some rev on, or something is known to be missing.
  bool known() const noexcept { return !newest.rev.empty() || newest.stale(); }
  /// Exists nowhere else, or something waits for it.
  bool in_use() const noexcept { return held > 0 || durable || chosen > 0 || look_ups > 0; }
};

/// Puts the key into the account, as text and parsed. False: it is no key; nothing has changed.
bool set_key(account& a, const std::string& multikey);

class account_cache {
 public:
  explicit account_cache(std::size_t max_accounts) : max_(max_accounts) {}

  bool contains(const std::string& did) const { return accounts_.contains(did); }
  /// Adds a state that was read, unless the account is in memory already: that state is newer (X9).
  void add(const std::string& did, state_port::stored read);
  /// The account becomes the one used last. Precondition: contains(did).
  account& use(const std::string& did);
  /// Forgets the accounts that were not used for longest, beyond the maximum. One that is in use stays.
  void evict();

 private:
  std::size_t max_;
  std::unordered_map<std::string, account> accounts_;
  std::list<std::string> recent_;  // least recently used first
};

}  // namespace recordkv::stages
