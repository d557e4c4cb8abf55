// Questions to a PostgreSQL database of views: read-only, on a connection and a loop of their own.
#include "databases.hpp"
#include "plan/column_types.hpp"
#include "postgres/session.hpp"
#include "sql/query_text.hpp"

#include "postgres/text.hpp"

#include <boost/asio/co_spawn.hpp>

#include <charconv>
#include <limits>

namespace recordkv::view {
namespace {

using namespace postgres;

constexpr std::chrono::seconds patience{5};

cell cell_of(std::string_view answer, column_type t) {
  using enum column_type_traits::storage;
  std::int64_t whole = 0;
  double fraction = 0;
  switch (traits_of(t).stored) {
    case boolean: return std::int64_t{answer == "t" ? 1 : 0};
    case integer: std::from_chars(answer.data(), answer.data() + answer.size(), whole); return whole;
    case real: std::from_chars(answer.data(), answer.data() + answer.size(), fraction); return fraction;
    case text: break;
  }
  return std::string(answer);
}

/// Empty: the database has no table recordkv_builds.
task<result<std::vector<live_view>>> live_views(connection& db) {
  std::vector<live_view> out;
  std::vector<request> look{{"SELECT to_regclass('recordkv_builds') IS NOT NULL", {}}};
  auto there = co_await db.run(std::move(look));
  if (!there) co_return there.error();
  if (there->back().refused()) co_return db.failure("read it", there->back());
  if (there->back().text(0, 0) != "t") co_return out;
  std::vector<request> ask{{"SELECT view, definition FROM recordkv_builds WHERE live ORDER BY view", {}}};
  auto got = co_await db.run(std::move(ask));
  if (!got) co_return got.error();
  const auto& r = got->back();
  if (r.refused()) co_return db.failure("read its builds", r);
  for (int i = 0; i < r.rows(); ++i) out.push_back({std::string(r.text(i, 0)), std::string(r.text(i, 1))});
  co_return out;
}

/// A build may be swapped in between the look at its definition and the rows. Then the columns may differ, and the
/// question is asked once more.
task<result<answer>> ask(connection& db, const std::string& place, const std::string& table,
                         const std::vector<condition>& where, std::size_t limit) {
  const auto most = std::min<std::size_t>(limit, std::numeric_limits<std::int64_t>::max());
  if (auto up = co_await db.ready(); !up) co_return up.error();
  for (const bool again : {false, true}) {
    auto begun = co_await db.run(opening_to_read(patience));
    if (!begun) co_return begun.error();
    if (begun->back().refused()) co_return db.failure("begin to read", begun->back());
    auto views = co_await live_views(db);
    if (!views) co_return views.error();
    auto asked = compile_question(dialect::postgres, place, *views, table, where);
    if (!asked) co_return asked.error();
    request one{.sql = asked->sql, .parameters = {}};
    for (const auto& v : asked->values) one.parameters.push_back(plain(v));
    one.parameters.emplace_back(fmt::to_string(most));
    std::vector<request> all;
    all.push_back(std::move(one));
    all.push_back({"COMMIT", {}});
    auto got = co_await db.run(std::move(all));
    if (!got) co_return got.error();
    if (const auto& last = got->back(); last.refused()) {
      std::vector<request> undo{{"ROLLBACK", {}}};
      auto undone = co_await db.run(std::move(undo));
      if (undone && !again && last.state().starts_with("42")) continue;
      co_return db.failure("read rows", last);
    }
    const auto& r = got->front();
    answer out{.columns = std::move(asked->columns), .rows = {}};
    for (int row = 0; row < r.rows(); ++row) {
      auto& cells_of_row = out.rows.emplace_back();
      for (int i = 0; i < r.columns(); ++i)
        cells_of_row.push_back(
            r.is_null(row, i) ? cell() : cell_of(r.text(row, i), out.columns[static_cast<std::size_t>(i)].type));
    }
    co_return out;
  }
  co_return fail(errc::storage, "database {}: view {} changes too often to be read", place, table);
}

}  // namespace

result<answer> query_postgres(const std::string& url, const std::string& table, const std::vector<condition>& where,
                              std::size_t limit) {
  if (auto good = connection::check(url); !good) return good.error();
  asio::io_context io(1);
  connection db(io, url, patience);
  const auto place = without_password(url);
  result<answer> out = fail(errc::storage, "database {}: no answer", place);
  asio::co_spawn(io, ask(db, place, table, where, limit), [&](const std::exception_ptr& e, result<answer> got) {
    db.drop();  // otherwise a wait on its socket would keep the loop running
    if (e) std::rethrow_exception(e);
    out = std::move(got);
  });
  io.run();
  return out;
}

result<builds> read_builds_postgres(const std::string& url, const std::string& view) {
  asio::io_context io(1);
  auto rows = open_postgres(io, url, patience);
  if (!rows) return rows.error();
  result<builds> out = fail(errc::storage, "database {}: no answer", without_password(url));
  asio::co_spawn(io, (*rows)->look(view), [&](const std::exception_ptr& e, result<builds> got) {
    rows->reset();  // otherwise a wait on its socket would keep the loop running
    if (e) std::rethrow_exception(e);
    out = std::move(got);
  });
  io.run();
  if (out && !out->live) return fail(errc::not_found, "there is no view {} in {} yet", view, without_password(url));
  return out;
}

}  // namespace recordkv::view
