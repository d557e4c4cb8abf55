// What NATS can tell of the whole system: store, buffer, and the report of every stage in its lease's key.
//
// Owns: the JSON that `status --json` prints, and the judgement whether all is well.
// Does not know: how it is shown to a person.
#pragma once

#include "commands.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::cli {

/// A store of one stream is suitable up to about this many keys. Beyond, restarts of its server take minutes.
inline constexpr std::uint64_t advisable_keys = 10'000'000;

/// How much is read. stages: enough for an exit code, many times an hour. store: the store as well. accounts: also a
/// count over the states of all accounts.
enum class depth { stages, store, accounts };

/// An error: NATS did not answer, and nothing is known.
task<result<boost::json::object>> system_facts(session s, depth how_deep);

/// What is not well, with its reason. All is well if processes run everything that this configuration names, and each
/// part is ready. A part is ready by the rule of /readyz: not stalled, and no further behind than http.max_lag.
std::vector<std::string> reasons_not_well(const boost::json::object& all, const config& cfg);
bool all_well(const boost::json::object& all, const config& cfg);

/// A member as text, whatever its type; empty if absent.
std::string text_of(const boost::json::object& o, std::string_view key);

}  // namespace recordkv::cli
