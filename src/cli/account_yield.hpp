// What the store and the views of this process hold of an account.
//
// Owns: the count of its keys, and the wait until the views have read them.
// Does not know: when the store has all of it.
#pragma once

#include "commands.hpp"
#include "interruption.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace recordkv::cli {

struct account_yield {
  std::uint64_t records = 0;
  std::map<std::string, std::uint64_t> by_collection;
  std::vector<std::pair<std::string, std::uint64_t>> rows;  ///< of each view; none if the views have not read it yet
};

/// `collections`: those in which the account may have keys; empty: any. Waits for the views for a minute at most.
/// errc::closed: `stop` has happened.
task<result<account_yield>> yield_of(session s, std::string did, unsigned partitions,
                                     std::vector<std::string> collections, interruption& stop);

/// "1234 records: 1000 app.bsky.feed.like, 234 app.bsky.feed.post"
std::string records_text(const account_yield& y);
/// "likes 1000, links 12"; empty: no view has rows.
std::string rows_text(const account_yield& y);
/// A command that shows some of it.
std::string command_to_try(const account_yield& y, std::string_view did);

}  // namespace recordkv::cli
