// Facts about a store that must not change under it: key `meta` of bucket `repo` (docs/invariants.md X19).
//
// Owns: the JSON form, the check when a process opens an existing store, which objects recordkv made (for `reset`).
// Does not know: the records.
#pragma once

#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_names.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

/// A message that was in the store when it was read. A message is never changed, and its time has nanoseconds. If a
/// message with this sequence and time exists, the store is the same. A missing one proves nothing.
struct store_sample {
  std::uint64_t seq = 0;
  std::string time;
  bool operator==(const store_sample&) const = default;
};

struct store_meta {
  unsigned partitions = 16;      ///< absent: 16
  std::string created;           ///< creation time of the store's stream, as the server reports it
  std::vector<std::string> was;  ///< earlier creation times of the same stream (some servers change it)
  std::vector<store_sample> samples;
  std::vector<std::string> made;  ///< streams that recordkv created
  bool put_used = false;          ///< the store contains records made by hand
  std::uint64_t generation = 0;   ///< a new value makes views rebuild; made and removed together with the states
  std::uint64_t seq = 0;          ///< of the key, for compare-and-set

  /// True if the store has, or had, this creation time. Other objects that carry it belong to the store.
  bool is_of(std::string_view creation_time) const;
};

task<result<store_meta>> read_meta(nats::connection& nc, store_names names);  ///< errc::not_found
task<result<void>> write_meta(nats::connection& nc, store_names names,
                              store_meta& m);  ///< by compare-and-set; updates m.seq

/// Opens the store and `repo`. Checks `partitions` and `created` against meta, or writes meta for a store that has
/// none. Another creation time means another store only if no sample of meta is found; otherwise the meta that is
/// returned holds both times. errc::mismatch: other partitions, or the store was recreated since; the text says what
/// to do.
struct opened_store {
  nats::stream_state store;
  store_meta meta;
  nats::stream_state repo;  ///< of the accounts' states
};
task<result<opened_store>> open_store(nats::connection& nc, store_names names, unsigned partitions, int replicas);

/// Checks that `store` is the store of `meta`. If its creation time differs, `meta` is updated. errc::mismatch.
task<result<void>> is_the_same(nats::connection& nc, store_names names, nats::stream_state store, store_meta& meta);

/// Updates the samples and the creation time in meta. One process of a store calls it periodically. If another process
/// writes meta at the same moment, that is no error: the next call does it.
task<result<void>> note_samples(nats::connection& nc, store_names names, opened_store now);

/// Adds a stream to meta.made. For streams other than the store's own.
task<result<void>> remember_made(nats::connection& nc, store_names names, std::string stream);

}  // namespace recordkv::kv
