// Finds the database that a name means.
#include "recordkv/view/store.hpp"

#include "databases.hpp"

#include <algorithm>
#include <filesystem>

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
  return fail(errc::bad_config,
              "\"{}\" does not name a database; write sqlite:PATH, or postgresql://USER@HOST/DATABASE",
              without_password(database));
}

result<std::unique_ptr<store>> store::open(asio::io_context& io, const std::string& database,
                                           std::chrono::milliseconds patience) {
  if (const auto path = sqlite_path(database)) return open_sqlite(*path, patience);
  if (is_postgres(database)) return open_postgres(io, database, patience);
  return unknown_database(database);
}

namespace {

/// Without ?password=…, &sslpassword=… and the like.
std::string without_password_parameters(const std::string& url) {
  const auto question = std::min(url.find('?'), url.size());
  std::string out = url.substr(0, question);
  char joint = '?';
  for (auto rest = std::string_view(url).substr(std::min(question + 1, url.size())); !rest.empty();) {
    const auto one = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    if (one.contains("password=")) continue;
    out += joint;
    out += one;
    joint = '&';
  }
  return out;
}

}  // namespace

std::string name_for_others(const std::string& database) {
  if (const auto path = sqlite_path(database))
    return "sqlite:" + std::filesystem::absolute(*path).lexically_normal().string();
  return without_password(without_password_parameters(database));
}

std::string without_password(const std::string& database) {
  const auto scheme = database.find("://");
  if (scheme == database.npos) return database;
  std::string out = database;
  // user:password@. A password that should have been escaped is removed as well.
  const auto from = scheme + 3;
  const auto query = std::min(out.find('?', from), out.size());
  auto at = out.substr(0, query).rfind('@');
  if (at == out.npos || at < from) at = out.find_first_of("@/", from);
  if (at != out.npos && out[at] == '@')
    if (const auto colon = out.find(':', from); colon < at) out.erase(colon, at - colon);
  // ?password=…, also as sslpassword=… and the like
  for (auto key = out.find("password="); key != out.npos; key = out.find("password=", key + 1)) {
    const auto value = key + std::string_view("password=").size();
    out.replace(value, std::min(out.find('&', value), out.size()) - value, "...");
  }
  return out;
}

}  // namespace recordkv::view
