#include "postgres/builds.hpp"

#include "postgres/holders.hpp"
#include "sql/position_text.hpp"
#include "sql/statements.hpp"

#include <algorithm>
#include <iterator>
#include <set>

namespace recordkv::view::postgres {
namespace {

constexpr std::string_view lock_not_available = "55P03";
constexpr std::size_t max_name = 63;  // PostgreSQL cuts longer names, and two names could become the same

/// What a bulk's end may take: a few hundred million rows.
constexpr std::chrono::hours patience_of_a_finish{6};

/// A row of build_fields.
std::optional<stored_build> read_build(const reply& r, int row) {
  const auto text = [&](int at) { return std::string(r.text(row, at)); };
  return build_in({.number = r.number(row, 0),
                   .view = text(1),
                   .live = text(2) == "t",
                   .hash = text(3),
                   .definition = text(4),
                   .counters = text(5),
                   .created = text(6),
                   .generation = r.number(row, 7),
                   .seq = text(8),
                   .bulk_until = r.number(row, 9),
                   .ready = text(10),
                   .wanted = text(11) == "t"});
}

request exists(const std::string& table) { return {"SELECT to_regclass($1) IS NOT NULL", {identifier(table)}}; }

std::vector<request> bare(std::vector<std::string> statements) {
  std::vector<request> out;
  out.reserve(statements.size());
  for (auto& sql : statements) out.push_back({std::move(sql), {}});
  return out;
}

void append(std::vector<request>& to, std::vector<std::string> statements) {
  for (auto& sql : statements) to.push_back({std::move(sql), {}});
}

/// The rights of other users on a table, as statements.
request grants_of(const std::string& table) {
  return {
      "SELECT format('GRANT %s ON TABLE %I TO %s%s', a.privilege_type, $2::text, CASE WHEN a.grantee = 0 THEN "
      "'PUBLIC' ELSE quote_ident(r.rolname) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
      "FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee "
      "WHERE c.oid = to_regclass($1) AND a.grantee <> c.relowner",
      {identifier(table), table}};
}

/// A reader makes this LOCK wait, and other readers queue behind it. It gives up before PostgreSQL looks for a
/// deadlock, after a second: PostgreSQL could end the reader then.
task<result<void>> lock_live_tables(session& s, const stored_build& live) {
  if (!live.whole) co_return result<void>{};
  const auto names = live.names().tables();
  std::string tables;
  for (const auto& t : names) tables += (tables.empty() ? "" : ", ") + identifier(t);
  const auto limit = fmt::format("SET LOCAL lock_timeout = '{}ms'", std::min<std::int64_t>(s.patience.count(), 400));
  std::vector<request> lock{{limit, {}}, {fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables), {}}};
  auto answers = co_await s.db.run(std::move(lock));
  if (!answers) co_return answers.error();
  const auto& last = answers->back();
  if (!last.refused()) co_return result<void>{};
  auto why = s.db.failure(fmt::format("take the place of view {}", live.view), last);
  if (last.state() != lock_not_available) co_return why;
  co_await s.leave();
  if (const auto holders = co_await holders_of(s, names); !holders.empty())
    why.text += fmt::format("; {} holds the lock; end that transaction: SELECT pg_terminate_backend(PID)", holders);
  co_return why;
}

/// GRANTs of the rights on the tables of `from` for those of `to`. The names are the same.
task<result<std::vector<request>>> rights_on(session& s, naming from, naming to) {
  const auto kept = to.tables();
  std::vector<request> looks;
  for (const auto& t : from.tables())
    if (std::ranges::find(kept, t) != kept.end()) looks.push_back(grants_of(t));
  auto found = co_await s.run("read the rights on the view", std::move(looks));
  if (!found) co_return found.error();
  std::vector<request> out;
  for (const auto& r : *found)
    for (int i = 0; i < r.rows(); ++i) out.push_back({std::string(r.text(i, 0)), {}});
  co_return out;
}

}  // namespace

task<result<void>> begin_change(session& s, std::string view) {
  auto all = opening(s.patience);
  all.push_back({"SET LOCAL synchronous_commit = on", {}});
  all.push_back({"SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", {"recordkv " + view}});
  auto done = co_await s.run("lock the builds of a view", std::move(all));
  if (!done) co_return done.error();
  co_return result<void>{};
}

task<result<stored_builds>> builds_of(session& s, std::string view, bool lock) {
  std::vector<request> ask{{builds_of_view() + (lock ? " FOR UPDATE" : ""), {view}}};
  auto got = co_await s.run("read its builds", std::move(ask));
  if (!got) co_return got.error();
  stored_builds out;
  const auto& r = got->back();
  for (int i = 0; i < r.rows(); ++i)
    if (auto b = read_build(r, i)) out.push_back(std::move(*b));
  std::vector<request> looks;
  for (const auto& b : out)
    for (const auto& t : b.names().tables()) looks.push_back(exists(t));
  if (looks.empty()) co_return out;
  auto there = co_await s.run("look for its tables", std::move(looks));
  if (!there) co_return there.error();
  auto at = there->begin();
  for (auto& b : out)
    for (std::size_t i = 0; i < b.names().tables().size(); ++i) b.whole = (at++)->text(0, 0) == "t" && b.whole;
  co_return out;
}

task<result<stored_build>> begin_with(session& s, const plan& p, std::uint64_t number) {
  auto ask = opening(s.patience);
  ask.push_back({build_of_number() + " FOR UPDATE", {fmt::to_string(number)}});
  auto got = co_await s.run(fmt::format("lock build {} of view {}", number, p.name), std::move(ask));
  if (!got) co_return got.error();
  co_return expect_build(p, number, got->back().rows() == 1 ? read_build(got->back(), 0) : std::nullopt);
}

task<result<void>> refuse_foreign_tables(session& s, const plan& p, const stored_builds& ours) {
  for (const bool live : {true, false})
    for (const auto& t : naming(p, 0, live).tables())
      if (t.size() > max_name)
        co_return fail(errc::bad_config,
                       "{}:{}: view.name: table {} would have a name of {} letters, and PostgreSQL takes {}; choose "
                       "shorter names for the view and what it counts",
                       p.file, p.line, t, t.size(), max_name);
  const auto names = new_names(p, ours);
  std::vector<request> looks;
  looks.reserve(names.size());
  for (const auto& t : names) looks.push_back(exists(t));
  if (looks.empty()) co_return result<void>{};
  auto there = co_await s.run("look for its tables", std::move(looks));
  if (!there) co_return there.error();
  for (std::size_t i = 0; i < names.size(); ++i)
    if ((*there)[i].text(0, 0) == "t") co_return foreign_table(p, names[i]);
  co_return result<void>{};
}

task<result<build>> make_build(session& s, const plan& p, bool live, position start, std::uint64_t bulk_until) {
  auto b = new_build(p, live, std::move(start), bulk_until);
  request insert{insert_build(),
                 {p.name, live ? "true" : "false", b.hash, b.definition, names_text(p.count_by), b.at.created,
                  fmt::to_string(b.at.generation), seq_text(b.at.seq), fmt::to_string(b.bulk_until)}};
  std::vector<request> one;
  one.push_back(std::move(insert));
  auto made = co_await s.run("begin a build", std::move(one));
  if (!made) co_return made.error();
  b.number = made->back().number(0, 0);
  const naming n(p, b.number, live);
  auto tables = co_await s.run("create its tables", bare(create_tables(dialect::postgres, p, n)));
  if (!tables) co_return tables.error();
  if (b.bulk_until == 0)
    if (auto done = co_await finish_build(s, p, n); !done) co_return done.error();
  co_return b;
}

task<result<void>> finish_build(session& s, const plan& p, naming n) {
  std::vector<request> all{{"SET LOCAL statement_timeout = '6h'", {}},
                           {"SET LOCAL maintenance_work_mem = '256MB'", {}},
                           {"SET LOCAL work_mem = '128MB'", {}},
                           {"SET LOCAL enable_seqscan = on", {}},
                           {"SET LOCAL enable_hashjoin = on", {}}};
  append(all, create_indexes(dialect::postgres, p, n));
  append(all, fill_counters(p, n));
  append(all, create_triggers(dialect::postgres, p, n));
  // Otherwise the planner takes the table for empty until autovacuum has analysed it.
  for (const auto& t : n.tables()) all.push_back({"ANALYZE " + identifier(t), {}});
  all.push_back({"SET LOCAL statement_timeout = '60s'", {}});
  auto done = co_await s.run("build its indexes", std::move(all), patience_of_a_finish);
  if (!done) co_return done.error();
  co_return result<void>{};
}

task<result<void>> drop_build(session& s, stored_build b) {
  const auto n = b.names();
  auto all = bare(drop_triggers(dialect::postgres, n));
  append(all, drop_tables(n));
  all.push_back({erase_build(), {fmt::to_string(b.of.number)}});
  auto done = co_await s.run(fmt::format("drop build {} of view {}", b.of.number, b.view), std::move(all));
  if (!done) co_return done.error();
  co_return result<void>{};
}

task<result<void>> swap_builds(session& s, const plan& p, const stored_build* live, stored_build next) {
  const auto doing = fmt::format("take the place of view {}", p.name);
  auto names = next.names();
  names.live = true;
  std::vector<request> grants;
  if (live != nullptr) {
    if (auto locked = co_await lock_live_tables(s, *live); !locked) co_return locked.error();
    auto rights = co_await rights_on(s, live->names(), names);
    if (!rights) co_return rights.error();
    grants = std::move(*rights);
    if (auto done = co_await drop_build(s, *live); !done) co_return done.error();
  }
  auto all = bare(drop_triggers(dialect::postgres, next.names()));
  append(all, rename_to_live(next.names()));
  append(all, create_triggers(dialect::postgres, p, names));
  all.push_back({promote_build(), {fmt::to_string(next.of.number)}});
  std::ranges::move(grants, std::back_inserter(all));
  auto done = co_await s.run(doing, std::move(all));
  if (!done) co_return done.error();
  co_return result<void>{};
}

request set_position(std::uint64_t number, const position& to) {
  return {move_build(), {to.created, fmt::to_string(to.generation), seq_text(to.seq), fmt::to_string(number)}};
}

}  // namespace recordkv::view::postgres
