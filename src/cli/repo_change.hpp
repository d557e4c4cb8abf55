// `repo add`, `repo remove` and `repo resync`.
//
// Owns: the accounts that a person names, their wishes, and what the command says of them.
// Does not know: what stage kv does with a wish (recordkv/kv/wishes.hpp). No command writes an account's state (X17).
#pragma once

#include "commands.hpp"

namespace recordkv::cli {

int change_accounts(const invocation& i, const config& cfg);

}  // namespace recordkv::cli
