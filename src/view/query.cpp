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

}  // namespace recordkv::view
