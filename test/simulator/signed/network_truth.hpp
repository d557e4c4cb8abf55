// What a mirror of the signed network must hold, and what became of each account.
//
// Owns: the two forms for tests: lines of records as truth.hpp has them, and accounts as JSON.
// Does not know: stores.
#pragma once

#include "../truth.hpp"
#include "network.hpp"

#include <ostream>
#include <string>

namespace recordkv::sim {

/// Lines as in truth::write(). The op of a record that is older than the stream is "settled". Inactive and deleted
/// accounts are left out, and so are records whose CBOR is bad.
void write_truth(std::ostream& out, network& n, unsigned partitions, std::uint64_t events);

/// The posts of active accounts with most likes.
liked_posts popular(network& n, std::size_t count);

/// One account, on one line.
std::string account_json(const accounts& all, const account& a, bool with_records);
/// A line for every account that exists.
void write_accounts(std::ostream& out, network& n);

}  // namespace recordkv::sim
