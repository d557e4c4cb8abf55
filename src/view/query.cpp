#include "sqlite.hpp"
#include "statements.hpp"

#include "recordkv/view/store.hpp"

#include "position_text.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>

namespace recordkv::view {
namespace {

struct table_column {
  std::string name;
  std::string type;
};

result<database> open_to_read(const std::string& path) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec))
    return fail(errc::not_found, "there is no database {} yet; run recordkv with stage index first", path);
  return database::open(path, database::access::read_only, std::chrono::seconds(5));
}

/// True when the database holds tables of ours at all: an empty or foreign file has no views.
result<std::vector<std::string>> view_names(database& db) {
  std::vector<std::string> out;
  auto any = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'recordkv_position'");
  if (!any) return any.error();
  const int code = any->step();
  if (code == SQLITE_DONE) return out;
  if (code != SQLITE_ROW) return db.failure("read it");
  any->reset();
  auto s = db.prepare("SELECT view FROM recordkv_position ORDER BY view");
  if (!s) return s.error();
  while (s->step() == SQLITE_ROW) out.emplace_back(s->text(0));
  return out;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& n : names) out += (out.empty() ? "" : ", ") + n;
  return out.empty() ? "none" : out;
}

result<void> must_exist(database& db, const std::string& path, const std::string& view) {
  auto views = view_names(db);
  if (!views) return views.error();
  if (std::ranges::find(*views, view) != views->end()) return {};
  return fail(errc::not_found, "there is no view {} in {}; there are: {}", view, path, joined(*views));
}

result<std::vector<table_column>> columns_of(database& db, const std::string& view) {
  auto s = db.prepare("SELECT name, type FROM pragma_table_info(?)");
  if (!s) return s.error();
  s->bind(1, view);
  std::vector<table_column> out;
  while (s->step() == SQLITE_ROW) out.emplace_back(std::string(s->text(0)), std::string(s->text(1)));
  return out;
}

/// The WHERE clause; its values are bound afterwards. A column that the view lacks is the caller's mistake.
result<std::string> clause(const std::string& view, const std::vector<table_column>& columns,
                           const std::vector<condition>& where) {
  std::string out;
  for (const auto& w : where) {
    if (std::ranges::find(columns, w.column, &table_column::name) == columns.end()) {
      std::vector<std::string> names;
      names.reserve(columns.size());
      for (const auto& c : columns) names.push_back(c.name);
      return fail(errc::bad_config, "view {} has no column {}; it has: {}", view, w.column, joined(names));
    }
    out += fmt::format("{}{} = ?", out.empty() ? " WHERE " : " AND ", identifier(w.column));
  }
  return out;
}

/// A boolean is stored as 0 or 1 and asked for in words.
std::string_view bound_value(const std::vector<table_column>& columns, const condition& w) {
  const auto c = std::ranges::find(columns, w.column, &table_column::name);
  if (c != columns.end() && c->type == "BOOLEAN") {
    if (w.value == "true") return "1";
    if (w.value == "false") return "0";
  }
  return w.value;
}

}  // namespace

result<std::vector<row>> query(const std::string& path, const std::string& view, const std::vector<condition>& where,
                               std::size_t limit) {
  auto db = open_to_read(path);
  if (!db) return db.error();
  // One read transaction: the table can't be rebuilt between the look at its columns and the rows.
  if (auto done = db->run("BEGIN"); !done) return done.error();
  if (auto done = must_exist(*db, path, view); !done) return done.error();
  const auto columns = columns_of(*db, view);
  if (!columns) return columns.error();
  const auto conditions = clause(view, *columns, where);
  if (!conditions) return conditions.error();
  auto s = db->prepare(
      fmt::format("SELECT * FROM {}{} ORDER BY did, collection, rkey LIMIT ?", identifier(view), *conditions));
  if (!s) return s.error();
  int at = 1;
  for (const auto& w : where) s->bind(at++, bound_value(*columns, w));
  s->bind(at, static_cast<std::int64_t>(std::min<std::size_t>(limit, std::numeric_limits<std::int64_t>::max())));
  std::vector<row> out;
  int code = SQLITE_DONE;
  while ((code = s->step()) == SQLITE_ROW) {
    row& r = out.emplace_back();
    for (int i = 0; i < s->columns(); ++i)
      if (!s->is_null(i)) r.emplace_back(s->name(i), s->text(i));
  }
  if (code != SQLITE_DONE) return db->failure("read rows");
  return out;
}

result<position> read_position(const std::string& path, const std::string& view) {
  auto db = open_to_read(path);
  if (!db) return db.error();
  if (auto done = must_exist(*db, path, view); !done) return done.error();
  auto s = db->prepare("SELECT created, generation, seq FROM recordkv_position WHERE view = ?");
  if (!s) return s.error();
  s->bind(1, view);
  if (s->step() != SQLITE_ROW) return db->failure("read a position");
  auto seq = parse_seq(s->text(2));
  if (!seq)
    return fail(errc::storage, "database {}: the position of view {} is unreadable; rebuild the view", path, view);
  return position{std::string(s->text(0)), static_cast<std::uint64_t>(s->integer(1)), std::move(*seq)};
}

}  // namespace recordkv::view
