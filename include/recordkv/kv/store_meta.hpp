// Facts about a store that must not change under it: key `meta` of bucket `repo` (docs/invariants.md X19).
//
// Owns: the JSON form, the take-over check, who made which object (for `reset`).
// Refuses to know: the records.
#pragma once

#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_names.hpp"

#include <string>
#include <vector>

namespace recordkv::kv {

struct store_meta {
  unsigned partitions = 16;       ///< absent: 16
  std::string created;            ///< creation time of the store's stream
  std::vector<std::string> made;  ///< streams that recordkv created
  bool put_used = false;          ///< hand-made records stand in the store
  std::uint64_t generation = 0;  ///< another value than before: views rebuild; made with the states, and goes with them
  std::uint64_t seq = 0;         ///< of the key, for compare-and-set
};

task<result<store_meta>> read_meta(nats::connection& nc, store_names names);  ///< errc::not_found
task<result<void>> write_meta(nats::connection& nc, store_names names,
                              store_meta& m);  ///< by compare-and-set; updates m.seq

/// Opens store and `repo`, checks `partitions` and `created` against meta, or writes meta for a store that has none.
/// errc::mismatch: other partitions, or the store was recreated since; text says what to do.
struct opened_store {
  nats::stream_state store;
  store_meta meta;
};
task<result<opened_store>> open_store(nats::connection& nc, store_names names, unsigned partitions, int replicas);

/// Adds a stream to meta.made. For objects other than the store's own.
task<result<void>> remember_made(nats::connection& nc, store_names names, std::string stream);

}  // namespace recordkv::kv
