// What `status` tells of accounts: how many there are, and how many may be stale, and why.
//
// Owns: the members accounts, accounts_maybe_stale and accounts_stale_by_reason of its JSON.
// Does not know: single accounts (repo_command.cpp), and how the facts are shown.
#pragma once

#include "commands.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace recordkv::cli {

/// How many accounts the kv stages know together. Each process counts those of its own partitions. `rows`: the stages
/// of system_facts(). Empty if one of the living processes does not report its number, or if there is none.
boost::json::object reported_accounts(const boost::json::array& rows);

/// Counts the states whose headers say that they are desynchronised, and adds accounts_maybe_stale and
/// accounts_stale_by_reason. The first is null if the states are too many to be read for each `status`.
task<> add_stale_accounts(session s, boost::json::object& all);

}  // namespace recordkv::cli
