// What the tests of the view store share: a directory that goes away, the likes plan, and short ways to call.
#pragma once

#include "recordkv/view/store.hpp"

#include <sqlite3.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

namespace recordkv::view::test {

using namespace std::chrono_literals;

struct directory {
  directory() : path(std::filesystem::temp_directory_path() / fmt::format("recordkv-store-{}-{}", getpid(), ++count)) {
    std::filesystem::remove_all(path);
  }
  ~directory() { std::filesystem::remove_all(path); }
  std::string file(std::string_view name = "views.db") const { return (path / name).string(); }
  std::filesystem::path path;
  static inline int count = 0;
};

/// Runs one task to its end and hands out what it returned. One loop for all: it has to outlive every store.
template <class T>
T run(task<T> t) {
  static asio::io_context io;
  std::optional<T> out;
  asio::co_spawn(io, std::move(t), [&](std::exception_ptr e, T r) {
    if (e) std::rethrow_exception(e);
    out = std::move(r);
  });
  io.restart();
  io.run();
  return std::move(*out);
}

inline plan likes() {
  return {.name = "likes",
          .collection = "app.bsky.feed.like",
          .columns = {{.name = "subject", .pointer = "/subject/uri", .required = true, .index = true},
                      {.name = "n", .pointer = "/n", .type = column_type::integer},
                      {.name = "yes", .pointer = "/yes", .type = column_type::boolean}},
          .file = "likes.toml"};
}

inline change put(std::string did, std::string rkey, std::string_view subject) {
  return {.did = std::move(did),
          .collection = "app.bsky.feed.like",
          .rkey = std::move(rkey),
          .json = fmt::format(R"({{"subject":{{"uri":"{}"}},"n":7,"yes":true}})", subject)};
}

inline change del(std::string did, std::string rkey) {
  return {
      .erase = true, .did = std::move(did), .collection = "app.bsky.feed.like", .rkey = std::move(rkey), .json = {}};
}

inline position at(std::uint64_t seq) { return {"2026-01-01T00:00:00Z", 1, {{"0", seq}, {"a", seq + 1}}}; }

inline std::unique_ptr<store> must_open(const std::string& path, std::chrono::milliseconds patience = 5s) {
  auto s = store::open(path, patience);
  if (!s) FAIL(s.error().text);
  return std::move(*s);
}

/// "did/rkey subject" for each row.
inline std::vector<std::string> rows(const std::string& path, const std::vector<condition>& where = {}) {
  auto found = query(path, "likes", where, 1000);
  if (!found) FAIL(found.error().text);
  std::vector<std::string> out;
  for (const auto& r : *found) out.push_back(fmt::format("{}/{} {}", r[0].second, r[2].second, r[3].second));
  return out;
}

inline store::applied must_apply(store& s, std::vector<change> changes, position from, position to) {
  auto done = run(s.apply(likes(), std::move(changes), std::move(from), std::move(to)));
  if (!done) FAIL(done.error().text);
  return *done;
}

inline position position_of(const std::string& path) {
  auto p = read_position(path, "likes");
  if (!p) FAIL(p.error().text);
  return *p;
}

using lines = std::vector<std::string>;

/// Another program's hand on the file.
struct other {
  explicit other(const std::string& path) { REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK); }
  ~other() { sqlite3_close(db); }
  void run(const char* sql) { REQUIRE(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK); }
  sqlite3* db = nullptr;
};

}  // namespace recordkv::view::test
