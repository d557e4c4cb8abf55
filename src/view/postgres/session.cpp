#include "postgres/session.hpp"

#include "sql/statements.hpp"

#include <algorithm>

namespace recordkv::view::postgres {
namespace {

/// No commit waits for the disk. Rows and position share a transaction: a crash of PostgreSQL loses both together, and
/// the store is read again from there. A suspended process must not hold a view's lock for ever. Rows are always found
/// by their key, also while the planner has no statistics of a table that has just grown.
request settings(std::chrono::milliseconds patience) {
  const auto statement = patience + std::chrono::milliseconds(connection::usual) - std::chrono::seconds(5);
  return {
      "SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', $1, true),"
      " set_config('statement_timeout', $2, true), set_config('idle_in_transaction_session_timeout', '60s', true),"
      " set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),"
      " set_config('extra_float_digits', '1', true), set_config('client_min_messages', 'warning', true),"
      " set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),"
      " set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)",
      {fmt::format("{}ms", std::max<std::int64_t>(patience.count(), 1)), fmt::format("{}ms", statement.count())}};
}

}  // namespace

std::vector<request> opening(std::chrono::milliseconds patience) {
  std::vector<request> out{{"BEGIN", {}}};
  out.push_back(settings(patience));
  return out;
}

std::vector<request> opening_to_read(std::chrono::milliseconds patience) {
  std::vector<request> out{{"BEGIN READ ONLY", {}}};
  out.push_back(settings(patience));
  return out;
}

task<result<std::vector<reply>>> session::run(std::string_view doing, std::vector<request> all,
                                              connection::duration limit) {
  const std::string what(doing);
  auto answers = co_await db.run(std::move(all), limit);
  if (answers && answers->back().refused()) co_return db.failure(what, answers->back());
  co_return answers;
}

task<result<void>> session::ready() {
  if (auto up = co_await db.ready(); !up) co_return up.error();
  if (known_dial_ == db.dials()) co_return result<void>{};
  const std::string there = "SELECT to_regclass('recordkv_builds') IS NOT NULL";
  std::vector<request> look{{there, {}}};
  auto found = co_await run("look for its builds", std::move(look));
  if (!found) co_return found.error();
  if (found->back().text(0, 0) != "t") {
    // Two processes that create it at the same time would collide, even with IF NOT EXISTS.
    auto make = opening(patience);
    make.push_back({"SELECT pg_advisory_xact_lock(hashtextextended('recordkv_builds', 0))", {}});
    make.push_back({create_builds(dialect::postgres), {}});
    make.push_back({"COMMIT", {}});
    auto made = co_await run("create table recordkv_builds", std::move(make));
    if (!made) co_await leave();
    if (!made) co_return made.error();
  }
  known_dial_ = db.dials();
  co_return result<void>{};
}

task<void> session::leave() {
  if (!db.in_transaction()) co_return;
  std::vector<request> undo{{"ROLLBACK", {}}};
  auto undone = co_await db.run(std::move(undo));
  if (!undone || undone->back().refused()) db.drop();
}

}  // namespace recordkv::view::postgres
