// Transactions of other programs that hold locks, described so that a person can find them.
//
// Owns: the queries on pg_locks, pg_stat_activity and pg_prepared_xacts. Does not know: what is done about them.
#pragma once

#include "postgres/session.hpp"

#include <string>
#include <vector>

namespace recordkv::view::postgres {

/// The transactions that hold locks on these tables, as "process 4711 (psql, user web, idle in transaction since …)";
/// empty: there are none. Call it outside a transaction, because a failed transaction runs no query.
task<std::string> holders_of(session& s, std::vector<std::string> tables);

/// The oldest transaction of another program in this database, if the user may see it.
struct open_transaction {
  double seconds = 0;  ///< 0: there is none
  std::string holder;  ///< as above
  std::string remedy;
};
task<result<open_transaction>> oldest_transaction(session& s);

}  // namespace recordkv::view::postgres
