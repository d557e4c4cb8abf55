// The stores of a NATS account, for a command whose configured store may not exist.
//
// Owns: telling a bucket of records from any other, the line that names the existing ones, a store's partitions.
// Does not know: making a store (kv/store_meta.hpp).
#pragma once

#include "commands.hpp"

#include <string>
#include <vector>

namespace recordkv::cli {

/// The buckets that hold records: recordkv's, and those of nats-record-kv or of any stock client that writes such
/// keys.
task<result<std::vector<std::string>>> record_buckets(nats::connection& nc);

/// The store's number of partitions, as its `meta` says; the configured one if there is no `meta` yet.
task<unsigned> store_partitions(session s);

/// No error if bucket kv.bucket exists. Otherwise errc::not_found, which names the existing stores.
task<result<void>> store_is_there(session s);

/// No error if bucket kv.bucket exists, or no store at all. Otherwise errc::not_found, which names the existing
/// stores.
task<result<void>> not_mistyped(session s);

/// No error if kv.bucket exists, or no store at all, so that this may be the first one. Otherwise errc::bad_config: a
/// mistyped name must not become a second store.
task<result<void>> may_make_store(session s);

}  // namespace recordkv::cli
