// The accounts that `up --repo` names: fetched in full beside the running stages.
//
// Owns: one wish for each account, and the lines that say how it ended. A failure is said once, and the account is
// waited for further on: stage kv repeats its tries.
// Does not know: how an account is fetched, and the stages.
#pragma once

#include "commands.hpp"
#include "interruption.hpp"

#include <string>
#include <vector>

namespace recordkv::cli {

/// Ends once each account is in the store and in the views, or is known never to be, or when `stop` happens.
task<> follow_accounts(session s, std::vector<std::string> names, interruption& stop);

}  // namespace recordkv::cli
