// What can be known of the whole system by asking NATS: store, buffer, and what every stage says of itself in its lock.
//
// Owns: the JSON that `status --json` prints, and the judgement whether all is well.
// Refuses to know: how it is shown to a person.
#pragma once

#include "commands.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::cli {

/// A store of one stream is right to about so many keys; beyond, its server's restarts take minutes.
inline constexpr std::uint64_t advisable_keys = 10'000'000;

/// How much is asked: the stages alone (for an exit code, many times an hour), the store, or also a count over the
/// states of all accounts.
enum class depth { stages, store, accounts };

/// Errors: NATS did not answer; nothing is known.
task<result<boost::json::object>> system_facts(session s, depth how_deep);

/// Everything that this configuration names is run by a process, and each part is ready as /readyz has it: not stalled,
/// and no further behind than http.max_lag. What is not, with its reason.
std::vector<std::string> reasons_not_well(const boost::json::object& all, const config& cfg);
bool all_well(const boost::json::object& all, const config& cfg);

/// A member as text, whatever it is; empty when absent.
std::string text_of(const boost::json::object& o, std::string_view key);

}  // namespace recordkv::cli
