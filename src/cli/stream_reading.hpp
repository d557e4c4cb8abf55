// All messages of a stream that match a subject, for a command that looks for something.
//
// Owns: the consumer, and the proof that no message is missing.
// Does not know: what is looked for.
#pragma once

#include "commands.hpp"

#include <functional>
#include <string>

namespace recordkv::cli {

enum class message_parts { headers, headers_and_value };

/// Calls `take` for every message that matches, also for older ones of a subject. A message that replaces another one
/// meanwhile is taken as well, because it comes later. Ends when the server has nothing more.
/// Not for a work queue, which takes only one consumer. An error: it is not known whether `take` has seen all.
task<result<void>> read_matching(session s, std::string stream, std::string subject, message_parts what,
                                 std::function<void(const nats::message&)> take);

/// The size of a message's value, also if only its headers were read.
std::size_t value_size(const nats::message& m);

}  // namespace recordkv::cli
