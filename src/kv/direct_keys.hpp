// Many keys' newest messages by one direct get with many answers (ADR-31, nats-server 2.11).
//
// Owns: when direct get may be trusted, the request, its answers, the proof that none is missing.
// Does not know: whose keys they are, which of them count, and how they are read otherwise.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/nats/connection.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

inline constexpr std::uint64_t max_direct_keys = 1024;  ///< of one request, by the server's rule

/// Called for each message. False: `subject` does not match the filters, so the answer cannot be trusted.
using take_message = std::function<bool(std::string_view subject, std::uint64_t seq, const nats::message& m)>;

/// Takes the newest message of every subject that matches a filter. A subject that is written meanwhile comes again,
/// with a higher sequence.
///
/// False: direct get can't tell. Whatever was taken is void, and another way must be used. errc::closed: `go_on`
/// returned false. timed_out: for `max_silence` nothing came, and the end is missing. unreachable: the connection was
/// lost before the end.
task<result<bool>> take_directly(nats::connection& nc, std::string stream, std::vector<std::string> filters,
                                 const std::function<bool()>& go_on, take_message take,
                                 std::chrono::milliseconds max_silence = std::chrono::seconds(10));

}  // namespace recordkv::kv
