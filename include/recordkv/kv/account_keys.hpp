// The keys that one account has in the store.
//
// Owns: the filters that select an account's keys, and reading them without their values.
// Does not know: repos, and what the keys should be.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/kv/store_names.hpp"
#include "recordkv/nats/connection.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace recordkv::kv {

struct stored_key {
  std::string collection, rkey;
  std::string cid;        ///< header `cid`; empty: another program has written the value
  std::uint64_t seq = 0;  ///< its newest message
};

/// The filters that select exactly this account's keys in these collections. Without collections: one filter for each
/// number of segments that a collection may have (3 to 63), because no single filter fits.
std::vector<std::string> account_subjects(const store_names& names, std::string_view did, unsigned partitions,
                                          const std::vector<std::string>& collections);

/// The account's keys that hold a value, in ascending order of "{collection}/{rkey}". Delete markers and keys of a
/// foreign form are left out.
///
/// A value that is put meanwhile may be missing. While stage kv holds the account, only `put` and other programs write
/// keys of it.
///
/// `collections`: those in which the account may have keys; empty: any. `expected`: about so many keys it has; 0: not
/// known. This only decides which way is tried first. errc::closed: `go_on` returned false. Other
/// errors are NATS's, after which nothing is known.
task<result<std::vector<stored_key>>> read_account_keys(nats::connection& nc, store_names names, int api_level,
                                                        meters& counters, std::string did, unsigned partitions,
                                                        std::vector<std::string> collections,
                                                        std::function<bool()> go_on, std::size_t expected = 0);

}  // namespace recordkv::kv
