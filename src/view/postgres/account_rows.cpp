// What an account has in a PostgreSQL database of views: read-only, on a connection and a loop of its own.
#include "databases.hpp"
#include "postgres/session.hpp"
#include "sql/account_rows_text.hpp"
#include "sql/statements.hpp"

#include <boost/asio/co_spawn.hpp>

namespace recordkv::view {
namespace {

using namespace postgres;

constexpr std::chrono::seconds patience{5};
constexpr int max_tries = 3;

request is_there(const std::string& table) { return {"SELECT to_regclass($1) IS NOT NULL", {identifier(table)}}; }

bool yes(const reply& r) { return r.rows() == 1 && r.text(0, 0) == "t"; }

/// Every table of every build that exists.
task<result<std::vector<account_rows>>> all_tables(session& s) {
  std::vector<account_rows> named, out;
  std::vector<request> look{is_there("recordkv_builds")};
  auto ours = co_await s.run("look for its builds", std::move(look));
  if (!ours) co_return ours.error();
  if (!yes(ours->back())) co_return out;
  std::vector<request> ask{{list_builds(), {}}};
  auto got = co_await s.run("read its builds", std::move(ask));
  if (!got) co_return got.error();
  const auto& builds = got->back();
  for (int i = 0; i < builds.rows(); ++i)
    for (auto& t : content_tables(std::string(builds.text(i, 1)), builds.number(i, 0), builds.text(i, 2) == "t"))
      named.push_back(std::move(t));
  if (named.empty()) co_return out;
  std::vector<request> looks;
  looks.reserve(named.size());
  for (const auto& t : named) looks.push_back(is_there(t.table));
  auto there = co_await s.run("look for its tables", std::move(looks));
  if (!there) co_return there.error();
  for (std::size_t i = 0; i < named.size(); ++i)
    if (yes((*there)[i])) out.push_back(std::move(named[i]));
  co_return out;
}

/// `swapped`: a table is gone since it was listed, because a build has taken another's place.
task<result<std::vector<account_rows>>> count_all(session& s, const std::string& did, bool& swapped) {
  auto begin = opening_to_read(patience);
  auto begun = co_await s.run("begin to read", std::move(begin));
  if (!begun) co_return begun.error();
  auto tables = co_await all_tables(s);
  if (!tables || tables->empty()) co_return tables;
  std::vector<request> counts;
  counts.reserve(tables->size());
  for (const auto& t : *tables) {
    auto between = bounds_of(t, did);
    counts.push_back({count_of_account(t), {std::move(between.from), std::move(between.to)}});
  }
  auto got = co_await s.db.run(std::move(counts));
  if (!got) co_return got.error();
  if (const auto& last = got->back(); last.refused()) {
    swapped = last.state().starts_with("42P");
    co_return s.db.failure("count rows", last);
  }
  for (std::size_t i = 0; i < tables->size(); ++i) {
    const auto& r = (*got)[i];
    (*tables)[i].found = r.number(0, 0);
    (*tables)[i].example = r.text(0, 1);
  }
  co_return tables;
}

task<result<std::vector<account_rows>>> find_in(session& s, const std::string& did) {
  if (auto up = co_await s.db.ready(); !up) co_return up.error();
  for (int tries = 1;; ++tries) {
    bool swapped = false;
    auto found = co_await count_all(s, did, swapped);
    co_await s.leave();
    if (found || !swapped || tries == max_tries) co_return found;
  }
}

}  // namespace

result<std::vector<account_rows>> find_account_rows_postgres(const std::string& url, const std::string& did) {
  if (auto good = connection::check(url); !good) return good.error();
  asio::io_context io(1);
  session s(io, url, patience);
  result<std::vector<account_rows>> out = fail(errc::storage, "database {}: no answer", without_password(url));
  asio::co_spawn(io, find_in(s, did), [&](const std::exception_ptr& e, result<std::vector<account_rows>> got) {
    s.db.drop();  // otherwise a wait on its socket would keep the loop running
    if (e) std::rethrow_exception(e);
    out = std::move(got);
  });
  io.run();
  return out;
}

}  // namespace recordkv::view
