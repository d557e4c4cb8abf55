// What the tests of views in PostgreSQL share: a server, a store, a view with every type of column, short ways to call.
#pragma once

#include "postgres_process.hpp"

#include "recordkv/view/store.hpp"

#include <boost/asio/co_spawn.hpp>
#include <catch2/catch_test_macros.hpp>

#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace recordkv::view::test {

using namespace std::chrono_literals;
using lines = std::vector<std::string>;

inline plan plan_of(const std::filesystem::path& directory, const std::string& text) {
  const auto file = directory / "view.toml";
  std::ofstream(file) << text;
  auto all = load_plans(file.string());
  if (!all) FAIL(all.error().text);
  return all->front();
}

constexpr auto likes_text = R"(
[[view]]
name = "likes"
collection = "app.bsky.feed.like"
columns = [
  { name = "subject", pointer = "/subject", required = true, index = true },
  { name = "n", pointer = "/n", type = "integer" },
  { name = "r", pointer = "/r", type = "real" },
  { name = "yes", pointer = "/yes", type = "boolean" },
  { name = "created_at", pointer = "/createdAt", type = "timestamp" },
  { name = "j", pointer = "/j", type = "json" },
]
count = ["subject", "n"]
)";

constexpr auto tags_text = R"(
[[view]]
name = "tags"
collection = "app.bsky.feed.like"
each = "/tags"
columns = [ { name = "tag", pointer = "", required = true } ]
count = ["tag"]
)";

constexpr auto accounts_text = R"(
[[view]]
name = "accounts"
source = "accounts"
columns = [
  { name = "subject", pointer = "/subject", required = true, index = true },
  { name = "yes", pointer = "/yes", type = "boolean" },
  { name = "seen", type = "integer", default = 0 },
]
count = ["subject"]
on_put = "UPDATE {table} SET seen = seen + 1 WHERE did = :did"
)";

constexpr auto account_tags_text = R"(
[[view]]
name = "account_tags"
source = "accounts"
each = "/tags"
columns = [ { name = "tag", pointer = "", required = true } ]
count = ["tag"]
)";

inline position at(std::uint64_t seq) { return {"2026-01-01T00:00:00Z", 1, {{"0", seq}}}; }

inline change put(const plan& p, std::string did, std::string rkey, std::string json, std::uint64_t seq = 1) {
  change c{.did = std::move(did), .collection = "app.bsky.feed.like", .rkey = std::move(rkey), .seq = seq};
  c.json = std::move(json);
  auto e = extract(p, {.did = c.did, .collection = c.collection, .rkey = c.rkey, .json = c.json});
  c.rows = std::move(e.rows);
  c.rejection_reason = std::move(e.rejection_reason);
  return c;
}

inline change like(const plan& p, std::string did, std::string rkey, std::string_view subject, std::uint64_t seq = 1) {
  return put(p, std::move(did), std::move(rkey), fmt::format(R"({{"subject":"{}","n":7}})", subject), seq);
}

inline change del(std::string did, std::string rkey) {
  return {.erase = true, .did = std::move(did), .collection = "app.bsky.feed.like", .rkey = std::move(rkey)};
}

/// The same change, of an account of that name.
inline change of_account(change c) {
  c.did = "did:" + std::exchange(c.rkey, "");
  c.collection.clear();
  return c;
}

inline std::string word(const cell& c) {
  if (const auto* const n = std::get_if<std::int64_t>(&c)) return fmt::to_string(*n);
  if (const auto* const d = std::get_if<double>(&c)) return fmt::format("{}f", *d);
  if (const auto* const s = std::get_if<std::string>(&c)) return *s;
  return "NULL";
}

/// A table's rows, columns parted by a bar.
inline lines table(const std::string& database, const std::string& name, const std::vector<condition>& where = {}) {
  auto got = query(database, name, where, 100'000);
  if (!got) return {"error: " + got.error().text};
  lines out;
  for (const auto& row : got->rows) {
    std::string line;
    for (const auto& c : row) line += (line.empty() ? "" : "|") + word(c);
    out.push_back(std::move(line));
  }
  return out;
}

/// A loop and a store on it. What still waits in the store goes with the loop.
struct opened {
  explicit opened(const std::string& database, std::chrono::milliseconds patience = 5s) {
    auto s = store::open(io, database, patience);
    if (!s) FAIL(s.error().text);
    views = std::move(*s);
  }
  template <class T>
  T run(task<T> work, std::chrono::seconds limit = 60s) {
    std::optional<T> out;
    asio::co_spawn(io, std::move(work), [&](std::exception_ptr e, T got) {
      if (e) std::rethrow_exception(e);
      out = std::move(got);
    });
    const auto until = std::chrono::steady_clock::now() + limit;
    io.restart();
    while (!out && io.run_one_until(until) > 0) {
    }
    if (!out) FAIL("a call did not end in time");
    return std::move(*out);
  }
  template <class T>
  T must(task<result<T>> work) {
    auto got = run(std::move(work));
    if (!got) FAIL(got.error().text);
    if constexpr (!std::is_void_v<T>) return std::move(*got);
  }
  store::applied apply(const plan& p, std::uint64_t number, std::vector<change> changes, position from, position to) {
    return must(views->apply(p, number, std::move(changes), std::move(from), std::move(to)));
  }
  /// A build at `start` that has taken the view's name.
  build live(const plan& p, position start) {
    const auto before = must(views->look(p.name));
    auto b = must(views->begin(p, std::move(start), 0, before.next ? before.next->number : 0));
    CHECK(must(views->ready(p, b.number, {"0"}, {"0"})));
    return b;
  }
  asio::io_context io{1};
  std::unique_ptr<store> views;
};

}  // namespace recordkv::view::test
