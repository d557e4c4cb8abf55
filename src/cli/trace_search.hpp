// The search for content of an account in a store's streams and in the databases of views.
//
// Owns: which messages, members of a state and tables are content of the account.
// Does not know: what is printed (trace_place.hpp).
//
// Content moves from the buffer to the store and from there to the views. If the places are searched in this order,
// nothing escapes the search by moving while it runs.
#pragma once

#include "commands.hpp"
#include "trace_place.hpp"

#include <string>
#include <vector>

namespace recordkv::cli {

/// Reads the account's partition up to the message that is the last one now.
task<trace_place> search_buffer(session s, std::string did, unsigned partitions);

/// Every message with a value under any key of the account, in whichever partition and collection. Older messages of a
/// key count as well: a bucket that another program has made may keep some.
task<trace_place> search_store(session s, std::string did);

/// Bucket `repo`: the account's state, and a wish for it.
task<std::vector<trace_place>> search_states(session s, std::string did);

/// Every build of every view in the databases that are configured, or that a process reports. Blocking.
task<std::vector<trace_place>> search_views(session s, std::string did);

}  // namespace recordkv::cli
