// What `status` tells of accounts: how many there are, and how many may be stale, and why.
//
// Owns: the members accounts, accounts_maybe_stale and accounts_stale_by_reason of its JSON.
// Does not know: single accounts (repo_command.cpp), and how the facts are shown.
#pragma once

#include "commands.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace recordkv::cli {

/// The sums of what the kv stages report: known, desynchronised, incomplete, unverified. Each process counts the
/// accounts of its own partitions. `rows`: the stages of system_facts(). A number that one of the living processes does
/// not report is absent.
boost::json::object reported_accounts(const boost::json::array& rows);

/// Counts the states whose headers say that they are desynchronised, and adds accounts_maybe_stale and
/// accounts_stale_by_reason. The first is null if the states are too many to be read for each `status`. Fewer are too
/// many if the stages report the number.
task<> add_stale_accounts(session s, boost::json::object& all);

}  // namespace recordkv::cli
