// Which database a name means.
#include "recordkv/view/store.hpp"

#include "databases.hpp"

namespace recordkv::view {

std::optional<std::string> sqlite_path(const std::string& database) {
  constexpr std::string_view scheme = "sqlite:";
  if (!database.starts_with(scheme) || database.size() == scheme.size()) return std::nullopt;
  return database.substr(scheme.size());
}

bool is_postgres(const std::string& database) {
  return database.starts_with("postgresql://") || database.starts_with("postgres://");
}

error unknown_database(const std::string& database) {
  return fail(errc::bad_config, "\"{}\" names no database; write sqlite:PATH, or postgresql://USER@HOST/DATABASE",
              without_password(database));
}

result<std::unique_ptr<store>> store::open(asio::io_context& io, const std::string& database,
                                           std::chrono::milliseconds patience) {
  if (const auto path = sqlite_path(database)) return open_sqlite(*path, patience);
  if (is_postgres(database)) return open_postgres(io, database, patience);
  return unknown_database(database);
}

}  // namespace recordkv::view
