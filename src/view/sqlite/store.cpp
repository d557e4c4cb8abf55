#include "sqlite/store.hpp"

#include "recordkv/core/crash_point.hpp"

#include "databases.hpp"
#include "sql/position_text.hpp"
#include "sql/statements.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>
#include <thread>

namespace recordkv::view {
namespace {

/// With WAL, readers continue while a batch is written.
/// synchronous=NORMAL syncs at checkpoints only. Rows and position share a transaction: after a power cut the database
/// is older but whole, and the view continues from the older position. The store can always be read again.
/// legacy_alter_table: renaming concerns the table alone. The newer way also reads users' VIEWs, and fails if a VIEW
/// names a table that is missing for a moment. secure_delete=FAST: distributions build SQLite so that a dropped table
/// is overwritten with zeros. The swap would take four times as long.
constexpr auto settings =
    "PRAGMA synchronous=NORMAL; PRAGMA cache_size=-131072; PRAGMA temp_store=MEMORY;"
    "PRAGMA journal_size_limit=67108864; PRAGMA legacy_alter_table=ON;"
    "PRAGMA recursive_triggers=ON;"  // otherwise INSERT OR REPLACE in a hook deletes rows without the counters
    "PRAGMA secure_delete=FAST";

/// While a bulk ends: sorts may use a file, because a table need not fit into memory. A piece is as large as the cache.
/// Small pieces stay in the processor's cache, and the second thread sorts a piece while the next is being read.
/// A million rows with two indexes: 4 MiB 2.1 s, 16 MiB 2.5 s, 256 MiB 4.3 s.
constexpr auto sorting = "PRAGMA temp_store=FILE; PRAGMA cache_size=-4096; PRAGMA threads=1";
constexpr auto sorted = "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-131072; PRAGMA threads=0";

struct sorting_settings {
  explicit sorting_settings(database& d) : db(d) {
    static_cast<void>(db.run(sorting));
  }  // without it: slower, not wrong
  ~sorting_settings() { static_cast<void>(db.run(sorted)); }
  sorting_settings(const sorting_settings&) = delete;
  database& db;
};

/// Two processes that turn a new file into a WAL database could wait for each other for ever. SQLite therefore refuses
/// one of them at once, and this function waits.
result<void> enter_wal(database& db, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto done = db.run("PRAGMA journal_mode=WAL");
    if (done || !db.busy() || std::chrono::steady_clock::now() >= until) return done;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace

result<void> sqlite_store::settle(database& db, std::chrono::milliseconds patience) {
  if (auto done = enter_wal(db, patience); !done) return done.error();
  if (auto done = db.run(settings); !done) return done.error();
  return create_builds_table(db);
}

result<transaction> sqlite_store::begin_change() {
  db_.set_triggers(true);
  return transaction::begin(db_);
}

result<builds> sqlite_store::look_now(const std::string& view) {
  auto t = transaction::read(db_);
  if (!t) return t.error();
  auto all = builds_of(db_, view);
  if (!all) return all.error();
  return builds_in(*all);
}

/// A table that has one of our names, or is in the way of one, must be ours.
result<void> sqlite_store::refuse_foreign_tables(const plan& p, const stored_builds& ours) {
  for (const auto& table : new_names(p, ours)) {
    auto there = exists(db_, table);
    if (!there) return there.error();
    if (*there) return foreign_table(p, table);
  }
  return {};
}

result<build> sqlite_store::begin_now(const plan& p, const position& start, std::uint64_t bulk_until,
                                      std::uint64_t expected_next) {
  auto t = begin_change();
  if (!t) return t.error();
  auto all = builds_of(db_, p.name);
  if (!all) return all.error();
  if (auto seen = expect_next(*all, p.name, expected_next); !seen) return seen.error();
  if (auto done = refuse_foreign_tables(p, *all); !done) return done.error();
  for (const auto& b : replaced(*all))
    if (auto done = drop_build(db_, b); !done) return done.error();
  if (find(*all, true) == nullptr)
    if (auto made = make_build(db_, p, true, {}, 0); !made) return made.error();
  auto made = make_build(db_, p, false, start, bulk_until);
  if (!made) return made.error();
  if (p.has_hooks())  // SQLite reports a hook that it does not understand now, and not for each record
    if (auto rows = sqlite_rows::prepare(db_, p, naming(p, made->number, false), false); !rows) return rows.error();
  if (auto done = wish(p.name, false); !done) return done.error();
  if (auto done = t->commit(); !done) return done.error();
  prepared_.clear();
  return made;
}

result<sqlite_rows*> sqlite_store::rows_of(const plan& p, const stored_build& b) {
  const auto names = b.names();
  const bool bulk = b.of.bulk_until != 0;
  if (const auto at = prepared_.find(b.of.number); at != prepared_.end() && at->second.is_of(names, bulk))
    return &at->second;
  auto made = sqlite_rows::prepare(db_, p, names, bulk);
  if (!made) return made.error();
  return &prepared_.insert_or_assign(b.of.number, std::move(*made)).first->second;
}

result<store::applied> sqlite_store::apply_now(const plan& p, std::uint64_t number, const std::vector<change>& changes,
                                               const position& previous, const position& next) {
  auto t = transaction::begin(db_);
  if (!t) return t.error();
  auto b = build_of(db_, p, number);
  if (!b) prepared_.erase(number);
  if (!b) return b.error();
  // The transaction holds the write lock: no other process writes between this check and the move.
  const auto to = expect_position(p, b->of.at, previous, next);
  if (!to) return to.error();
  auto rows = rows_of(p, *b);
  if (!rows) return rows.error();
  applied count{.live = b->of.live};
  if (auto done = (*rows)->write(db_, p, changes, count); !done) return done.error();
  if (auto done = set_position(db_, number, *to); !done) return done.error();
  crash_point("view.before_commit");
  if (auto done = t->commit(); !done) return done.error();
  crash_point("view.after_commit");
  return count;
}

result<void> sqlite_store::end_bulk_now(const plan& p, std::uint64_t number) {
  const sorting_settings with(db_);
  auto t = begin_change();
  if (!t) return t.error();
  auto b = build_of(db_, p, number);
  if (!b) return b.error();
  if (b->of.bulk_until == 0) return {};
  if (auto done = finish_build(db_, p, b->names()); !done) return done.error();
  auto s = db_.prepare(end_bulk_of_build());
  if (!s) return s.error();
  s->bind(1, static_cast<std::int64_t>(number));
  if (s->step() != SQLITE_DONE) return db_.failure("end a bulk");
  return t->commit();
}

result<bool> sqlite_store::ready_now(const plan& p, std::uint64_t number, const std::vector<std::string>& partitions,
                                     const std::vector<std::string>& all_partitions) {
  auto t = begin_change();
  if (!t) return t.error();
  auto b = build_of(db_, p, number);
  if (!b) return b.error();
  const auto state = readiness_of(p, *b, partitions, all_partitions);
  if (!state) return state.error();
  if (state->complete) {
    if (auto done = swap_builds(db_, p, *b); !done) return done.error();
  } else {
    auto s = db_.prepare(ready_build());
    if (!s) return s.error();
    const auto text = names_text(state->caught_up);
    s->bind(1, text);
    s->bind(2, static_cast<std::int64_t>(number));
    if (s->step() != SQLITE_DONE) return db_.failure("note which partitions have caught up");
  }
  if (auto done = t->commit(); !done) return done.error();
  if (state->complete) prepared_.clear();
  return state->complete;
}

result<void> sqlite_store::abandon_now(const std::string& view, std::uint64_t number) {
  auto t = begin_change();
  if (!t) return t.error();
  auto all = builds_of(db_, view);
  if (!all) return all.error();
  const auto* const next = find(*all, false);
  if (next == nullptr || next->of.number != number) return {};
  if (auto done = drop_build(db_, *next); !done) return done.error();
  prepared_.erase(number);
  return t->commit();
}

result<void> sqlite_store::wish(const std::string& view, bool wanted) {
  auto s = db_.prepare(want_build());
  if (!s) return s.error();
  s->bind(1, std::int64_t{wanted ? 1 : 0});
  s->bind(2, view);
  if (s->step() != SQLITE_DONE) return db_.failure("ask for a rebuild");
  return {};
}

result<void> sqlite_store::want_rebuild_now(const std::string& view) {
  auto t = begin_change();
  if (!t) return t.error();
  if (auto done = wish(view, true); !done) return done.error();
  if (db_.changes() == 0) return no_such_view(view);
  return t->commit();
}

result<std::vector<store::reject>> sqlite_store::rejects_now(const std::string& view, std::size_t limit) {
  auto t = transaction::read(db_);
  if (!t) return t.error();
  auto all = builds_of(db_, view);
  if (!all) return all.error();
  const auto live = expect_live(*all, view);
  if (!live) return live.error();
  auto s = db_.prepare(list_rejects(live->names()));
  if (!s) return s.error();
  s->bind(1, static_cast<std::int64_t>(std::min<std::size_t>(limit, std::numeric_limits<std::int64_t>::max())));
  std::vector<reject> out;
  int code = SQLITE_DONE;
  while ((code = s->step()) == SQLITE_ROW)
    out.push_back({std::string(s->text(0)), std::string(s->text(1)), static_cast<std::uint64_t>(s->integer(2))});
  if (code != SQLITE_DONE) return db_.failure("read rejects");
  return out;
}

result<std::uint64_t> sqlite_store::retry_now(const plan& p, const std::vector<change>& changes) {
  auto t = transaction::begin(db_);
  if (!t) return t.error();
  auto all = builds_of(db_, p.name);
  if (!all) return all.error();
  const auto live = expect_live(*all, p);
  if (!live) return live.error();
  auto rows = rows_of(p, *live);
  if (!rows) return rows.error();
  std::uint64_t fitting = 0;
  for (const auto& c : changes) {
    bool fits = false;
    if (auto done = (*rows)->retry(db_, p, c, fits); !done) return done.error();
    fitting += fits ? 1 : 0;
  }
  if (auto done = t->commit(); !done) return done.error();
  return fitting;
}

result<std::vector<std::string>> sqlite_store::views_now() {
  auto s = db_.prepare(list_views());
  if (!s) return s.error();
  std::vector<std::string> out;
  int code = SQLITE_DONE;
  while ((code = s->step()) == SQLITE_ROW) out.emplace_back(s->text(0));
  if (code != SQLITE_DONE) return db_.failure("read its builds");
  return out;
}

result<void> sqlite_store::drop_now(const std::string& view) {
  auto t = begin_change();
  if (!t) return t.error();
  auto all = builds_of(db_, view);
  if (!all) return all.error();
  for (const auto& b : *all)
    if (auto done = drop_build(db_, b); !done) return done.error();
  prepared_.clear();
  return t->commit();
}

result<std::unique_ptr<store>> open_sqlite(const std::string& path, std::chrono::milliseconds patience) {
  std::error_code ec;  // if the directory cannot be made, opening the file fails and gives the reason
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ec);
  auto db = database::open(path, database::access::read_write, patience);
  if (!db) return db.error();
  if (auto done = sqlite_store::settle(*db, patience); !done) return done.error();
  return std::unique_ptr<store>(std::make_unique<sqlite_store>(std::move(*db)));
}

}  // namespace recordkv::view
