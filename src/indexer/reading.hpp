// The name of a reader, and a message of the store as a record.
//
// Owns: which names a durable may have, the parts of a record. Does not know: consumers. Pure.
#pragma once

#include "recordkv/indexer.hpp"
#include "recordkv/kv/record_key.hpp"

#include <string_view>

namespace recordkv {

/// errc::bad_config: a user's durable cannot have this name.
result<void> check_name(std::string_view durable);

/// The views in the result point into the message.
record record_of(const nats::message& m, kv::record_key key, std::uint64_t seq);

}  // namespace recordkv
