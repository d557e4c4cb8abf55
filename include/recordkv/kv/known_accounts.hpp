// Which accounts have a state in bucket `repo`.
//
// Owns: 64-bit hashes of them (a false positive only costs a frame or a look-up), and reading them all once.
// Refuses to know: the states themselves.
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

/// Shows each state of bucket `repo`, as enc(did) and the message's headers, from the first to what was the last when
/// it began: about 300,000 a second. An account may be shown more than once: its state is written meanwhile, or reading
/// began anew after a reconnect. Ends early with errc::closed when `go_on` says no.
task<result<void>> read_states(
    nats::connection& nc, store_names names, int api_level, meters& counters,
    std::function<void(std::string_view encoded_did, const nats::message&)> show,
    std::function<bool()> go_on = [] { return true; });

/// The same, and only who they are.
task<result<void>> read_known_accounts(nats::connection& nc, store_names names, int api_level, meters& counters,
                                       known_accounts& into, std::function<bool()> go_on);

}  // namespace recordkv::kv
