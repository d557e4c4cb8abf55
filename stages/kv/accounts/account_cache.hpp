// The accounts' states in memory.
//
// Owns: the states, the choice of those that are forgotten, and the functions by which this stage uses bucket `repo`.
// Does not know: NATS (repo_states.hpp), and what an event changes in a state.
#pragma once

#include "commit_journal.hpp"
#include "recordkv/atproto/signature.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "recordkv/nats/ports.hpp"

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
  /// One result per account, in the order asked. The caller asks again only for the accounts whose result is an error.
  std::function<task<std::vector<result<stored>>>(std::vector<std::string> dids)> load;
  /// Writes each state by compare-and-set, and returns the new sequences. Waits while NATS does not answer. The states
  /// live until it returns.
  /// errc::lease_lost: another process writes states. Any other error: the caller passes the same states again. States
  /// that were already written are recognised.
  std::function<task<result<std::vector<std::uint64_t>>>(const std::vector<stored>& states)> save;
};

/// One account. Its address stays the same while it is in use.
struct account {
  kv::repo_state newest;  ///< after the last event that was applied
  /// What is to be written: the state after the last event whose puts are durable (X9). Null: nothing is to be written.
  std::unique_ptr<kv::repo_state> durable;
  bool only_progress = false;          ///< of `durable` only rev, data and at count; the rest is that of `newest`
  std::uint64_t seq = 0;               ///< sequence of its key in bucket `repo`
  std::optional<nats::ordinal> whole;  ///< of the newest change of its state that was more than a commit's progress
  std::size_t in_flight = 0;           ///< applied events whose puts are not durable yet
  std::size_t chosen = 0;              ///< events that were taken from account_order, and are not applied yet
  std::size_t look_ups = 0;            ///< look-ups of its identity that are under way or waiting
  std::uint64_t announced = 0;         ///< #identity events up to this number share a look-up that was started
  bool put_back = false;               ///< an event of it went back into account_order, and will be taken again
  std::size_t pins = 0;                ///< repairs that work on it (account_holds.hpp)
  enum class hold { none, wanted, held } held = hold::none;  ///< whether its events wait for a repair
  std::chrono::system_clock::time_point fetched, confirmed;  ///< when its PDS was last asked for its repo, its status
  std::unique_ptr<commit_journal> journal;  ///< of what is applied while its repo is being fetched; null: it is not
  std::optional<atproto::public_key> key;   ///< newest.key, parsed
  bool key_unsaved = false;  ///< a look-up has changed the key since the state was last handed to the settlement
  /// Why the last look-up failed, in one word. Cleared once an event is given up for it.
  std::string_view look_up_failure;
  std::optional<std::chrono::steady_clock::time_point> doubted;  ///< when a bad signature last caused a look-up
  std::list<std::string>::iterator recent;

  /// The account has a state: its records are stored from some rev on, or something is known to be missing.
  bool known() const noexcept { return !newest.rev.empty() || newest.status != "synchronised"; }
  /// Its newest state exists nowhere else, or something waits for it.
  bool in_use() const noexcept {
    return in_flight > 0 || durable || chosen > 0 || look_ups > 0 || put_back || pins > 0;
  }
};

/// Stores the key in the account, as text and parsed. False: the text is no key, and the account is unchanged.
bool set_key(account& a, const std::string& multikey);

class account_cache {
 public:
  explicit account_cache(std::size_t max_accounts) : max_(max_accounts) {}

  bool contains(const std::string& did) const { return accounts_.contains(did); }
  /// Adds a state that was read, unless the account is in memory already: the state in memory is newer (X9).
  void add(const std::string& did, state_port::stored read);
  /// Returns the account, which becomes the most recently used. Precondition: contains(did).
  account& use(const std::string& did);
  /// While there are more accounts than the maximum, forgets the least recently used. An account in use stays.
  void evict();

 private:
  std::size_t max_;
  std::unordered_map<std::string, account> accounts_;
  std::list<std::string> recent_;  // least recently used first
};

}  // namespace recordkv::stages
