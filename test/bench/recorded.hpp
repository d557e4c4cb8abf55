// A recording of recordkv-sim, read by the benchmarks of verification.
//
// Owns: reading its messages one by one, and the keys of its accounts from the file beside it.
// Does not know: what a message means.
#pragma once

#include "recordkv/atproto/signature.hpp"
#include "recordkv/core/result.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace recordkv::bench {

/// Prints the error to standard error and ends the process: a benchmark goes on with nothing half done.
[[noreturn]] void give_up(const error& e);

/// Calls `show` for each message of the recording, until it returns false.
result<void> read_messages(const std::string& path, const std::function<bool(std::string_view message)>& show);

using account_keys = std::unordered_map<std::string, atproto::public_key>;
/// The key of each account at the beginning of the recording, by DID.
result<account_keys> read_keys(const std::string& path);

}  // namespace recordkv::bench
