// Sends a question to its database.
#include "databases.hpp"

namespace recordkv::view {

result<answer> query(const std::string& database, const std::string& table, const std::vector<condition>& where,
                     std::size_t limit) {
  if (const auto path = sqlite_path(database)) return query_sqlite(*path, table, where, limit);
  if (is_postgres(database)) return query_postgres(database, table, where, limit);
  return unknown_database(database);
}

result<builds> read_builds(const std::string& database, const std::string& view) {
  if (const auto path = sqlite_path(database)) return read_builds_sqlite(*path, view);
  if (is_postgres(database)) return read_builds_postgres(database, view);
  return unknown_database(database);
}

result<std::vector<account_rows>> find_account_rows(const std::string& database, const std::string& did) {
  if (const auto path = sqlite_path(database)) return find_account_rows_sqlite(*path, did);
  if (is_postgres(database)) return find_account_rows_postgres(database, did);
  return unknown_database(database);
}

}  // namespace recordkv::view
