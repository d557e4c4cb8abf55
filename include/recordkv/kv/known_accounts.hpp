// Which accounts have a state in bucket `repo`.
//
// Owns: 64-bit hashes of the accounts (a false positive only costs a frame or a look-up), and reading all of them
// once.
// Does not know: the states themselves.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/kv/store_names.hpp"
#include "recordkv/nats/connection.hpp"

#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_set>

namespace recordkv::kv {

/// Accounts by enc(did), the last token of their key.
class known_accounts {
 public:
  void add(std::string_view encoded_did) { hashes_.insert(hash(encoded_did)); }
  bool contains(std::string_view encoded_did) const { return hashes_.contains(hash(encoded_did)); }
  std::size_t size() const noexcept { return hashes_.size(); }

 private:
  static std::uint64_t hash(std::string_view s) noexcept;  // FNV-1a
  std::unordered_set<std::uint64_t> hashes_;
};

enum class state_parts { headers, headers_and_value };

/// Calls `show` for each state of bucket `repo`, with enc(did) and the message, which may be a delete marker. Headers
/// alone come at about 300,000 a second. Reading ends when it has caught up with the stage that writes states. An
/// account may be shown more than once: its state is written meanwhile, or reading starts again after a reconnect.
/// Ends early with errc::closed when `go_on` returns false.
task<result<void>> read_states(
    nats::connection& nc, store_names names, int api_level, meters& counters, state_parts what,
    std::function<void(std::string_view encoded_did, const nats::message&)> show,
    std::function<bool()> go_on = [] { return true; });

/// The same, but keeps only which accounts there are.
task<result<void>> read_known_accounts(nats::connection& nc, store_names names, int api_level, meters& counters,
                                       known_accounts& into, std::function<bool()> go_on);

}  // namespace recordkv::kv
