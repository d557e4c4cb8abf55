#include "sqlite/builds.hpp"

#include "sql/position_text.hpp"
#include "sql/statements.hpp"

#include <algorithm>

namespace recordkv::view {
namespace {

/// A row of build_fields.
std::optional<stored_build> read_build(const statement& s) {
  const auto text = [&](int at) { return std::string(s.text(at)); };
  const auto number = [&](int at) { return static_cast<std::uint64_t>(s.integer(at)); };
  return build_in({.number = number(0),
                   .view = text(1),
                   .live = s.integer(2) != 0,
                   .hash = text(3),
                   .definition = text(4),
                   .counters = text(5),
                   .created = text(6),
                   .generation = number(7),
                   .seq = text(8),
                   .bulk_until = number(9),
                   .ready = text(10),
                   .wanted = s.integer(11) != 0});
}

result<void> one_step(database& db, statement& s, std::string_view doing) {
  if (s.step() != SQLITE_DONE) return db.failure(doing);
  return {};
}

/// The first format kept one build for each view, in recordkv_position. Such views are dropped, which costs a rebuild.
result<void> drop_first_format(database& db) {
  auto there = exists(db, "recordkv_position");
  if (!there) return there.error();
  if (!*there) return {};
  auto s = db.prepare("SELECT view FROM recordkv_position");
  if (!s) return s.error();
  std::vector<std::string> drops;
  int code = SQLITE_DONE;
  while ((code = s->step()) == SQLITE_ROW) drops.push_back("DROP TABLE IF EXISTS " + identifier(s->text(0)));
  if (code != SQLITE_DONE) return db.failure("read the views of an older version");
  drops.emplace_back("DROP TABLE recordkv_position");
  return db.run(drops);
}

}  // namespace

result<void> create_builds_table(database& db) {
  // If the table exists, nothing is written, and another program's long transaction is not waited for.
  auto ours = exists(db, "recordkv_builds"), former = exists(db, "recordkv_position");
  if (ours && former && *ours && !*former) return {};
  auto t = transaction::begin(db);
  if (!t) return t.error();
  if (auto done = drop_first_format(db); !done) return done.error();
  if (auto done = db.run(create_builds(dialect::sqlite)); !done) return done.error();
  return t->commit();
}

result<bool> exists(database& db, const std::string& name) {
  auto s =
      db.prepare("SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view', 'index') AND name = $1 COLLATE NOCASE");
  if (!s) return s.error();
  s->bind(1, name);
  const int code = s->step();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return db.failure("read its tables");
  return code == SQLITE_ROW;
}

result<stored_builds> builds_of(database& db, const std::string& view) {
  auto s = db.prepare(builds_of_view());
  if (!s) return s.error();
  s->bind(1, view);
  stored_builds out;
  int code = SQLITE_DONE;
  while ((code = s->step()) == SQLITE_ROW)
    if (auto b = read_build(*s)) out.push_back(std::move(*b));
  if (code != SQLITE_DONE) return db.failure("read its builds");
  for (auto& b : out)
    for (const auto& t : b.names().tables()) {
      auto there = exists(db, t);
      if (!there) return there.error();
      b.whole = b.whole && *there;
    }
  return out;
}

result<stored_build> build_of(database& db, const plan& p, std::uint64_t number) {
  auto s = db.prepare(build_of_number());
  if (!s) return s.error();
  s->bind(1, static_cast<std::int64_t>(number));
  const int code = s->step();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return db.failure("read its builds");
  return expect_build(p, number, code == SQLITE_ROW ? read_build(*s) : std::nullopt);
}

result<void> set_position(database& db, std::uint64_t number, const position& to) {
  auto s = db.prepare(move_build());
  if (!s) return s.error();
  const auto seq = seq_text(to.seq);
  s->bind(1, to.created);
  s->bind(2, static_cast<std::int64_t>(to.generation));
  s->bind(3, seq);
  s->bind(4, static_cast<std::int64_t>(number));
  return one_step(db, *s, "move a position");
}

result<build> make_build(database& db, const plan& p, bool live, const position& start, std::uint64_t bulk_until) {
  auto s = db.prepare(insert_build());
  if (!s) return s.error();
  auto b = new_build(p, live, start, bulk_until);
  const auto counted = names_text(p.count_by);
  const auto seq = seq_text(start.seq);
  s->bind(1, p.name);
  s->bind(2, std::int64_t{live ? 1 : 0});
  s->bind(3, b.hash);
  s->bind(4, b.definition);
  s->bind(5, counted);
  s->bind(6, start.created);
  s->bind(7, static_cast<std::int64_t>(start.generation));
  s->bind(8, seq);
  s->bind(9, static_cast<std::int64_t>(b.bulk_until));
  if (s->step() != SQLITE_ROW) return db.failure("begin a build");
  b.number = static_cast<std::uint64_t>(s->integer(0));
  s->reset();
  const naming n(p, b.number, live);
  if (auto done = db.run(create_tables(dialect::sqlite, p, n)); !done) return done.error();
  if (b.bulk_until == 0)
    if (auto done = finish_build(db, p, n); !done) return done.error();
  return b;
}

result<void> finish_build(database& db, const plan& p, const naming& n) {
  // Indexes first: they let counters be filled without a sort.
  if (auto done = db.run(create_indexes(dialect::sqlite, p, n)); !done) return done.error();
  if (auto done = db.run(fill_counters(p, n)); !done) return done.error();
  return db.run(create_triggers(dialect::sqlite, p, n));
}

result<void> drop_build(database& db, const stored_build& b) {
  if (auto done = db.run(drop_tables(b.names())); !done) return done.error();
  auto s = db.prepare(erase_build());
  if (!s) return s.error();
  s->bind(1, static_cast<std::int64_t>(b.of.number));
  return one_step(db, *s, "forget a build");
}

result<void> swap_builds(database& db, const plan& p, const stored_build& next) {
  auto all = builds_of(db, p.name);
  if (!all) return all.error();
  for (const auto& b : *all)
    if (b.of.live)
      if (auto done = drop_build(db, b); !done) return done.error();
  auto names = next.names();
  if (auto done = db.run(drop_triggers(dialect::sqlite, names)); !done) return done.error();
  if (auto done = db.run(rename_to_live(names)); !done) return done.error();
  names.live = true;
  if (auto done = db.run(create_triggers(dialect::sqlite, p, names)); !done) return done.error();
  auto s = db.prepare(promote_build());
  if (!s) return s.error();
  s->bind(1, static_cast<std::int64_t>(next.of.number));
  return one_step(db, *s, "put a build in its place");
}

}  // namespace recordkv::view
