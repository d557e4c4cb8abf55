// How far a view has folded the store.
//
// Owns: that value (docs/invariants.md X21). Does not know: where it is kept.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace recordkv::view {

/// Two positions are of the same history only when `created` and `generation` agree.
struct position {
  std::string created;                       ///< the store's creation time, as nats-server reports it
  std::uint64_t generation = 0;              ///< key `meta` of bucket `repo`
  std::map<std::string, std::uint64_t> seq;  ///< by partition label: all messages up to here are folded in
  bool operator==(const position&) const = default;
};

}  // namespace recordkv::view
