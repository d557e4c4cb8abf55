// What the tests of a database of views share: a directory that goes away, small plans, and short ways to call.
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
  std::string database(std::string_view name = "views.db") const { return "sqlite:" + file(name); }
  std::filesystem::path path;
  static inline int count = 0;
};

/// One loop for all: it has to outlive every store.
inline asio::io_context& loop() {
  static asio::io_context io;
  return io;
}

/// Runs one task to its end and hands out what it returned.
template <class T>
T run(task<T> t) {
  std::optional<T> out;
  asio::co_spawn(loop(), std::move(t), [&](std::exception_ptr e, T r) {
    if (e) std::rethrow_exception(e);
    out = std::move(r);
  });
  loop().restart();
  loop().run();
  return std::move(*out);
}

/// What a call gave, or the end of the test with its words.
template <class T>
T must(result<T> r) {
  if (!r) FAIL(r.error().text);
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}

inline plan planned(const std::string& body) { return must(plan_from_definition(fmt::format("[[view]]\n{}\n", body))); }

constexpr std::string_view like = "app.bsky.feed.like";

/// One row a record: subject (counted, indexed), n, yes.
inline plan likes(std::string_view more = {}) {
  auto p = planned(fmt::format(R"(name = "likes"
collection = "app.bsky.feed.like"
columns = [ {{ name = "subject", pointer = "/subject", required = true }},
  {{ name = "n", pointer = "/n", type = "integer" }}, {{ name = "yes", pointer = "/yes", type = "boolean" }} ]
count = ["subject"]
index = [["subject"]]
{})",
                               more));
  p.file = "likes.toml";
  return p;
}

/// One row a tag: tag (counted), may be NULL.
inline plan tags() {
  return planned(R"(name = "tags"
collection = "app.bsky.feed.like"
each = "/tags"
columns = [ { name = "tag", pointer = "/t" } ]
count = ["tag"])");
}

inline change put(std::string did, std::string rkey, std::string_view subject, std::uint64_t seq = 1) {
  return {.did = std::move(did),
          .collection = std::string(like),
          .rkey = std::move(rkey),
          .seq = seq,
          .rows = {{cell(std::string(subject)), cell(std::int64_t{7}), cell(std::int64_t{1})}}};
}

inline change del(std::string did, std::string rkey) {
  return {.erase = true, .did = std::move(did), .collection = std::string(like), .rkey = std::move(rkey)};
}

inline change rejected(std::string did, std::string rkey, std::string reason, std::uint64_t seq = 1) {
  auto c = del(std::move(did), std::move(rkey));
  c.erase = false;
  c.seq = seq;
  c.rejection_reason = std::move(reason);
  return c;
}

inline change tagged(std::string did, std::string rkey, const std::vector<std::string>& list) {
  auto c = del(std::move(did), std::move(rkey));
  c.erase = false;
  for (const auto& t : list) c.rows.push_back({t.empty() ? cell() : cell(t)});
  return c;
}

inline position at(std::uint64_t seq) { return {"2026-01-01T00:00:00Z", 1, {{"0", seq}, {"a", seq + 1}}}; }

inline std::unique_ptr<store> must_open(const directory& d, std::chrono::milliseconds patience = 5s) {
  return must(store::open(loop(), d.database(), patience));
}

/// A view from its beginning to the moment when its first build is live, and empty.
inline std::uint64_t must_live(store& s, const plan& p, position start = {}) {
  const auto next = must(run(s.look(p.name))).next;
  const auto b = must(run(s.begin(p, std::move(start), 0, next ? next->number : 0)));
  REQUIRE(must(run(s.ready(p, b.number, {"0"}, {"0"}))));
  return b.number;
}

inline std::string shown(const cell& c) {
  if (const auto* s = std::get_if<std::string>(&c)) return *s;
  if (const auto* n = std::get_if<std::int64_t>(&c)) return fmt::to_string(*n);
  if (const auto* r = std::get_if<double>(&c)) return fmt::to_string(*r);
  return "NULL";
}

using lines = std::vector<std::string>;

/// Rows of a table, cells parted by a blank; the collection is left out, as it is the same in all.
inline lines rows(const directory& d, const std::string& table = "likes", const std::vector<condition>& where = {}) {
  const auto found = must(query(d.database(), table, where, 100'000));
  lines out;
  for (const auto& r : found.rows) {
    std::string line;
    for (std::size_t i = 0; i < r.size(); ++i)
      if (found.columns[i].name != "collection") line += (line.empty() ? "" : " ") + shown(r[i]);
    out.push_back(line);
  }
  return out;
}

/// Another program's hand on the file.
struct other {
  explicit other(const directory& d) {
    REQUIRE(sqlite3_open(d.file().c_str(), &db) == SQLITE_OK);
    sqlite3_busy_timeout(db, 10'000);
  }
  ~other() { sqlite3_close(db); }
  other(const other&) = delete;
  void run(const std::string& sql) const {
    INFO(sql);
    REQUIRE(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  }
  /// First column of each row, as text.
  lines ask(const std::string& sql) const {
    lines out;
    const auto take = [](void* to, int, char** values, char**) {
      static_cast<lines*>(to)->emplace_back(values[0] == nullptr ? "NULL" : values[0]);
      return 0;
    };
    INFO(sql);
    REQUIRE(sqlite3_exec(db, sql.c_str(), take, &out, nullptr) == SQLITE_OK);
    return out;
  }
  sqlite3* db = nullptr;
};

}  // namespace recordkv::view::test
