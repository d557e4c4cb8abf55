// Which stores a NATS account holds, for commands whose configuration names one that is not there.
//
// Owns: telling a bucket of records from any other, and the line that names those that exist.
// Refuses to know: making one (kv/store_meta.hpp).
#pragma once

#include "commands.hpp"

#include <string>
#include <vector>

namespace recordkv::cli {

/// The buckets that hold records: ours, and those of the forerunner or of any stock client that writes its keys.
task<result<std::vector<std::string>>> record_buckets(nats::connection& nc);

/// Nothing, where bucket kv.bucket exists. Else errc::not_found, which names those that do.
task<result<void>> store_is_there(session s);

/// Nothing, where bucket kv.bucket exists or no store at all does. Else errc::not_found, which names those that do.
task<result<void>> not_mistyped(session s);

/// Nothing, where kv.bucket exists or no store at all does, so that this may be the first one. Else errc::bad_config:
/// a name that was mistyped must not become a second store.
task<result<void>> may_make_store(session s);

}  // namespace recordkv::cli
