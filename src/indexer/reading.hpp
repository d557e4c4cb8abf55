// What a reader is named, and what a message of the store says to it.
//
// Owns: which names a durable may have, the parts of a record. Refuses to know: consumers. Pure.
#pragma once

#include "recordkv/indexer.hpp"
#include "recordkv/kv/record_key.hpp"

#include <string_view>

namespace recordkv {

/// errc::bad_config: no name for a durable of one's own.
result<void> check_name(std::string_view durable);

/// The views of the result are the message's.
record record_of(const nats::message& m, kv::record_key key, std::uint64_t seq);

}  // namespace recordkv
