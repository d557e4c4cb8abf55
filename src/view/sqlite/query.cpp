// Questions to an SQLite database of views: read-only, blocking, one snapshot.
#include "databases.hpp"
#include "plan/column_types.hpp"
#include "recordkv/core/file_access.hpp"
#include "sql/query_text.hpp"
#include "sqlite/builds.hpp"
#include "sqlite/database.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <type_traits>

namespace recordkv::view {
namespace {

result<database> open_to_read(const std::string& path) {
  std::error_code ec;
  if (const auto why = why_not_usable(path, file_use::read); !why.empty())  // it may exist, and be unreadable
    return fail(errc::storage, "database {}: {}; ask as its owner, or as a member of its group", path, why);
  if (!std::filesystem::exists(path, ec))
    return fail(errc::not_found,
                "there is no database {} yet, and no running index names another; run recordkv with stage index, or "
                "set index.database",
                path);
  return database::open(path, database::access::read_only, std::chrono::seconds(5));
}

/// Empty: the database has no table recordkv_builds. An empty or foreign file has no views.
result<std::vector<live_view>> live_views(database& db) {
  std::vector<live_view> out;
  auto any = db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'recordkv_builds'");
  if (!any) return any.error();
  int code = any->step();
  if (code == SQLITE_DONE) return out;
  if (code != SQLITE_ROW) return db.failure("read it");
  any->reset();
  auto s = db.prepare("SELECT view, definition FROM recordkv_builds WHERE live ORDER BY view");
  if (!s) return s.error();
  while ((code = s->step()) == SQLITE_ROW) out.push_back({std::string(s->text(0)), std::string(s->text(1))});
  if (code != SQLITE_DONE) return db.failure("read its builds");
  return out;
}

/// Runs `work(database, live views)` in one read transaction: no table is swapped under it.
template <class Work>
std::invoke_result_t<const Work&, database&, const std::vector<live_view>&> in_snapshot(const std::string& path,
                                                                                        const Work& work) {
  auto db = open_to_read(path);
  if (!db) return db.error();
  auto t = transaction::read(*db);
  if (!t) return t.error();
  auto views = live_views(*db);
  if (!views) return views.error();
  return work(*db, *views);
}

cell cell_at(const statement& s, int at, column_type t) {
  if (s.is_null(at)) return {};
  using enum column_type_traits::storage;
  switch (traits_of(t).stored) {
    case integer:
    case boolean: return s.integer(at);
    case real: return s.real(at);
    case text: break;
  }
  return std::string(s.text(at));
}

result<answer> rows_of(database& db, question& asked, std::size_t limit) {
  auto s = db.prepare(asked.sql);
  if (!s) return s.error();
  int at = 1;
  for (const auto& v : asked.values) s->bind_cell(at++, v);
  s->bind(at, static_cast<std::int64_t>(std::min<std::size_t>(limit, std::numeric_limits<std::int64_t>::max())));
  answer out{.columns = std::move(asked.columns), .rows = {}};
  int code = SQLITE_DONE;
  while ((code = s->step()) == SQLITE_ROW) {
    auto& row = out.rows.emplace_back();
    for (int i = 0; i < s->columns(); ++i) row.push_back(cell_at(*s, i, out.columns[static_cast<std::size_t>(i)].type));
  }
  if (code != SQLITE_DONE) return db.failure("read rows");
  return out;
}

}  // namespace

result<answer> query_sqlite(const std::string& path, const std::string& table, const std::vector<condition>& where,
                            std::size_t limit) {
  return in_snapshot(path, [&](database& db, const std::vector<live_view>& views) -> result<answer> {
    auto asked = compile_question(dialect::sqlite, path, views, table, where);
    if (!asked) return asked.error();
    return rows_of(db, *asked, limit);
  });
}

result<builds> read_builds_sqlite(const std::string& path, const std::string& view) {
  return in_snapshot(path, [&](database& db, const std::vector<live_view>& views) -> result<builds> {
    if (std::ranges::find(views, view, &live_view::name) == views.end())
      return fail(errc::not_found, "there is no view {} in {} yet", view, path);
    auto found = builds_of(db, view);
    if (!found) return found.error();
    return builds_in(*found);
  });
}

}  // namespace recordkv::view
