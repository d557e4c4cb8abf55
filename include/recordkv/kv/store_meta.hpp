// Facts about a store that must not change under it: key `meta` of bucket `repo` (docs/invariants.md X19).
//
// Owns: the JSON form, the take-over check, who made which object (for `reset`).
// Refuses to know: the records.
#pragma once

#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_names.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

/// A message that stood in the store when it was looked at. A message is never changed, and its time counts
/// nanoseconds: where one stands under its sequence and time, the store is the same. One that has gone tells nothing.
struct store_sample {
  std::uint64_t seq = 0;
  std::string time;
  bool operator==(const store_sample&) const = default;
};

struct store_meta {
  unsigned partitions = 16;      ///< absent: 16
  std::string created;           ///< creation time of the store's stream, as the server tells it
  std::vector<std::string> was;  ///< what it told earlier of the same stream (some servers change it)
  std::vector<store_sample> samples;
  std::vector<std::string> made;  ///< streams that recordkv created
  bool put_used = false;          ///< hand-made records stand in the store
  std::uint64_t generation = 0;  ///< another value than before: views rebuild; made with the states, and goes with them
  std::uint64_t seq = 0;         ///< of the key, for compare-and-set

  /// Whether this store was ever called so: what else carries its creation time belongs to it.
  bool is_of(std::string_view creation_time) const;
};

task<result<store_meta>> read_meta(nats::connection& nc, store_names names);  ///< errc::not_found
task<result<void>> write_meta(nats::connection& nc, store_names names,
                              store_meta& m);  ///< by compare-and-set; updates m.seq

/// Opens store and `repo`, checks `partitions` and `created` against meta, or writes meta for a store that has none.
/// Another creation time is believed only where no sample of meta stands any more; the answer's meta then has both.
/// errc::mismatch: other partitions, or the store was recreated since; text says what to do.
struct opened_store {
  nats::stream_state store;
  store_meta meta;
};
task<result<opened_store>> open_store(nats::connection& nc, store_names names, unsigned partitions, int replicas);

/// Whether `store` is that of `meta`; its creation time, where it is another, is brought into `meta`. errc::mismatch.
task<result<void>> is_the_same(nats::connection& nc, store_names names, nats::stream_state store, store_meta& meta);

/// Brings the samples of meta, and its creation time, up to date; for one process of a store, now and then. Another
/// that writes meta at the same moment is no error: the next call does it.
task<result<void>> note_samples(nats::connection& nc, store_names names, opened_store now);

/// Adds a stream to meta.made. For objects other than the store's own.
task<result<void>> remember_made(nats::connection& nc, store_names names, std::string stream);

}  // namespace recordkv::kv
