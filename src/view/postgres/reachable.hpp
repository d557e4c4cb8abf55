// Which of several addresses of a PostgreSQL server answer: all of them are dialled at once.
//
// Owns: one TCP connection to each address, given up again. Refuses to know: libpq, which tries its addresses one after
// the other and would wait for one that swallows packets until nothing is left of its time.
#pragma once

#include "postgres/address.hpp"

#include <chrono>

namespace recordkv::view::postgres {

/// Without the addresses that are silent while others answer: 300 ms after another address of the same host, 3 s after
/// one of another host. Their order stays, since libpq's `target_session_attrs` may want the second of two. Where none
/// answers within `limit`, or there is only one: as it is.
task<address> reachable(address a, std::chrono::milliseconds limit);

}  // namespace recordkv::view::postgres
