// Other programs' transactions that are in our way, and how a person finds them.
//
// Owns: the questions to pg_locks, pg_stat_activity and pg_prepared_xacts. Refuses to know: what is done about it.
#pragma once

#include "postgres/session.hpp"

#include <string>
#include <vector>

namespace recordkv::view::postgres {

/// The transactions that hold locks on these tables, as "process 4711 (psql, user web, idle in transaction since …)";
/// empty when there are none any more. Not inside a transaction: one that has failed can ask nothing.
task<std::string> holders_of(session& s, std::vector<std::string> tables);

/// The oldest transaction of another program in this database, as far as the user may see it.
struct open_transaction {
  double seconds = 0;  ///< 0: there is none
  std::string who;     ///< as above
  std::string remedy;
};
task<result<open_transaction>> oldest_transaction(session& s);

}  // namespace recordkv::view::postgres
