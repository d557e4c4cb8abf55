// What changes in an account's state when no event of the account asks for it.
//
// Owns: the meaning of a person's wish, and of an entry in a list of accounts.
// Does not know: when the state is written, and how an account is repaired. Pure.
#pragma once

#include "../accounts/account_cache.hpp"
#include "recordkv/kv/wishes.hpp"

#include <cstdint>
#include <string_view>

namespace recordkv::stages {

/// `repo add`, `repo remove`, `repo resync`. The account's next repair need not wait. If the account is inactive or
/// deleted, its PDS is asked whether it still is. `now`: seconds since 1970, here and below.
void change_as_wished(account& a, kv::wish_kind wanted, std::int64_t now);

/// A list of repos.mode names the account: from now on it is followed in full. It is fetched, unless that was done
/// under the same collections (`filter`: their hash). False: nothing has changed.
bool follow_as_listed(account& a, std::string_view filter, std::int64_t now);

}  // namespace recordkv::stages
