// Finds out which of several addresses of a PostgreSQL server answer, by dialling all of them at once.
//
// Owns: a TCP connection to each address, closed again. Does not know: libpq. It tries addresses one after the other,
// and an address that swallows packets would use up its time.
#pragma once

#include "postgres/address.hpp"

#include <chrono>

namespace recordkv::view::postgres {

/// Removes the addresses that stay silent after another one has answered: for 300 ms if it is of the same host, for 3 s
/// if it is of another host. The order stays, because libpq's `target_session_attrs` may want the second of two. If
/// none answers within `limit`, or there is only one, nothing is removed.
task<address> reachable(address a, std::chrono::milliseconds limit);

}  // namespace recordkv::view::postgres
