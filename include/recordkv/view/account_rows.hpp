// What a database of views holds of one account.
//
// Owns: which tables count: the rows and the rejects of every build of every view, live or next.
// Does not know: which databases there are, and whether an account should have rows.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace recordkv::view {

/// One table of one build.
struct account_rows {
  std::string view;
  std::uint64_t build = 0;
  bool live = false;
  bool rejects = false;  ///< the table holds rejects, otherwise rows
  std::string table;
  std::uint64_t found = 0;  ///< of the account
  std::string example;      ///< one of them: "COLLECTION/RKEY" of a row, the AT-URI of a reject
};

/// Every table of every build, also those without anything of the account; empty: the database has no views. A row is
/// of the account if its record is. Rows of other accounts that name the account do not count.
/// Blocking and read-only, for use outside the loop. It sees the last whole transaction.
/// errc::not_found: no such database. errc::bad_config: no name of a database. Other errors: nothing is known.
result<std::vector<account_rows>> find_account_rows(const std::string& database, const std::string& did);

}  // namespace recordkv::view
