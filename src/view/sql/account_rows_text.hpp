// The statements that look for what an account has in a build, the same for both databases.
//
// Owns: those statements, and the tables of a build that hold an account's content.
// Does not know: connections.
#pragma once

#include "recordkv/view/account_rows.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view {

/// number, view, live: of every build.
std::string list_builds();

/// The tables of one build that may hold content of an account, as far as they are known without a look: rows, rejects.
std::vector<account_rows> content_tables(const std::string& view, std::uint64_t build, bool live);

/// A count and an example. Parameters: two texts, see bounds_of().
std::string count_of_account(const account_rows& in);

/// The parameters of count_of_account(). Rows: the DID, twice. Rejects: the AT-URIs of an account lie between two
/// texts, because columns are compared byte by byte.
struct bounds {
  std::string from, to;
};
bounds bounds_of(const account_rows& in, const std::string& did);

}  // namespace recordkv::view
