#include "running_index.hpp"

#include "recordkv/kv/partition_set.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/projection/configured_views.hpp"
#include "recordkv/view/store.hpp"
#include "status_facts.hpp"

#include <algorithm>
#include <set>

namespace recordkv::cli {
namespace {

/// "likes" holds likes, likes_by_subject, likes_rejects.
bool holds(std::string_view view, std::string_view table) {
  return !view.empty() && table.starts_with(view) && (table.size() == view.size() || table[view.size()] == '_');
}

/// The report of a process that has just died still names the database. A live process is better, and the longest view
/// name best.
const lock_row* keeper_of(const std::vector<lock_row>& rows, std::string_view table) {
  const lock_row* best = nullptr;
  const auto worth = [&](const lock_row& r) {
    const auto view = text_of(r.report, "view");
    return std::tuple(holds(view, table), r.live, view.size());
  };
  for (const auto& r : rows)
    if (r.report.contains("database") && (best == nullptr || worth(r) > worth(*best))) best = &r;
  return best;
}

/// The definition from the view's builds: the view need not be in a file that this command can see.
result<std::optional<view::plan>> plan_in_database(const std::string& database, const std::string& name) {
  auto there = view::read_builds(database, name);
  if (!there && there.error().code == errc::not_found) return std::optional<view::plan>{};
  if (!there) return there.error();
  const auto& newest = there->next ? there->next : there->live;
  if (!newest) return std::optional<view::plan>{};
  auto plan = view::plan_from_definition(newest->definition);
  if (!plan) return plan.error();
  return std::optional(std::move(*plan));
}

task<int> read_rows(session s, std::vector<lock_row>& into) {
  auto found = co_await read_locks(s.nc, s.names());
  if (found) into = std::move(*found);
  co_return done;
}

}  // namespace

std::string database_of(const config& cfg, const std::vector<lock_row>& rows, std::string_view table) {
  const auto* const keeper = cfg.index.database_asked_for ? nullptr : keeper_of(rows, table);
  return keeper != nullptr ? text_of(keeper->report, "database") : cfg.database();
}

std::string find_database(const config& cfg, const std::string& table) {
  if (cfg.index.database_asked_for) return cfg.database();
  std::vector<lock_row> rows;
  // Without NATS the default is used. Opening it shows whether it exists.
  (void)try_nats(cfg, [&](session s) { return read_rows(s, rows); });
  return database_of(cfg, rows, table);
}

result<std::vector<view::plan>> meant_views(const config& cfg, const std::vector<lock_row>& rows) {
  std::set<std::string> kept;
  for (const auto& r : rows)
    if (r.live && r.report.contains("view")) kept.insert(text_of(r.report, "view"));
  if (cfg.index.views_asked_for || kept.empty()) return projection::configured_views(cfg);
  std::vector<view::plan> out;
  for (const auto& name : kept) {
    auto built = plan_in_database(database_of(cfg, rows, name), name);
    if (!built) return built.error();
    if (*built) {
      out.push_back(std::move(**built));
      continue;
    }
    auto ships = projection::plans_of_file("builtin:" + name);  // its first build has not begun yet
    if (ships) out.insert(out.end(), ships->begin(), ships->end());
  }
  return out;
}

std::vector<std::string> unkept_partitions(const std::vector<lock_row>& rows, const std::string& view,
                                           unsigned partitions) {
  auto left = kv::partition_labels(partitions);
  for (const auto& r : rows) {
    const auto assigned = kv::partition_set::of_name(r.key, "view-" + view, partitions);
    if (!r.live || !assigned) continue;
    std::erase_if(left,
                  [&](const auto& l) { return std::ranges::find(assigned->labels(), l) != assigned->labels().end(); });
  }
  return left;
}

result<void> is_kept(const std::vector<lock_row>& rows, const std::string& view, unsigned partitions) {
  const auto left = unkept_partitions(rows, view, partitions);
  if (left.empty()) return {};
  const auto what = left.size() == partitions ? "" : fmt::format("partitions {} of ", fmt::join(left, ","));
  return fail(errc::unreachable,
              "no process keeps {}view {}; start one with stage index, such as recordkv --stages=index", what, view);
}

}  // namespace recordkv::cli
