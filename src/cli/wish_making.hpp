// A wish for an account, written by a command.
//
// Owns: what is noted of the account before the wish is written.
// Does not know: how accounts are named (account_names.hpp), and waiting for the wish (wish_wait.hpp).
#pragma once

#include "account_names.hpp"
#include "wish_wait.hpp"

namespace recordkv::cli {

/// The buckets that a wish needs exist. errc::not_found: run recordkv first.
task<result<void>> can_take_wishes(session s);

task<result<made_wish>> make_wish(session s, named_account account, kv::wish_kind what, unsigned partitions);

}  // namespace recordkv::cli
