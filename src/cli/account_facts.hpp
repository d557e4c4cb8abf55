// What `status` tells of accounts: how many there are, and how many may be stale, and why.
//
// Owns: the members accounts, accounts_maybe_stale and accounts_stale_by_reason of its JSON.
// Does not know: single accounts (repo_command.cpp), and how the facts are shown.
#pragma once

#include "commands.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <optional>

namespace recordkv::cli {

/// The sums of what the kv stages report: accounts, desynchronised, incomplete, unverified. Each process counts the
/// accounts of its own partitions. `rows`: the stages of system_facts(). nullopt: no process reports them all, or one
/// of the living processes does not.
std::optional<boost::json::object> reported_accounts(const boost::json::array& rows);

/// Counts the states whose headers say that they are desynchronised, and adds accounts_maybe_stale and
/// accounts_stale_by_reason. The first is null if the states are too many to be read for each `status`. They may be
/// fewer if `all` has the reported number.
task<> add_stale_accounts(session s, boost::json::object& all);

}  // namespace recordkv::cli
