// The databases that can hold views. store::open() and query() choose among them.
//
// Owns: how a database's name says which one it is. Implementations: sqlite/ and postgres/.
// Does not know: what they do with it.
#pragma once

#include "recordkv/view/account_rows.hpp"
#include "recordkv/view/store.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::view {

/// The path of "sqlite:PATH"; nullopt for anything else.
std::optional<std::string> sqlite_path(const std::string& database);
bool is_postgres(const std::string& database);
/// errc::bad_config: neither of them.
error unknown_database(const std::string& database);

/// `path`: of the file, without "sqlite:".
result<std::unique_ptr<store>> open_sqlite(const std::string& path, std::chrono::milliseconds patience);
result<std::unique_ptr<store>> open_postgres(asio::io_context& io, const std::string& url,
                                             std::chrono::milliseconds patience);

result<answer> query_sqlite(const std::string& path, const std::string& table, const std::vector<condition>& where,
                            std::size_t limit);
result<answer> query_postgres(const std::string& url, const std::string& table, const std::vector<condition>& where,
                              std::size_t limit);

result<builds> read_builds_sqlite(const std::string& path, const std::string& view);
result<builds> read_builds_postgres(const std::string& url, const std::string& view);

result<std::vector<account_rows>> find_account_rows_sqlite(const std::string& path, const std::string& did);
result<std::vector<account_rows>> find_account_rows_postgres(const std::string& url, const std::string& did);

}  // namespace recordkv::view
