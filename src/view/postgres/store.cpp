// The store in PostgreSQL: its calls, each on a connection of the pool.
//
// Owns: the transaction of each call. The next call may run on another connection.
// Does not know: how rows and builds are written (apply.hpp, builds.hpp).
#include "databases.hpp"
#include "postgres/apply.hpp"
#include "postgres/builds.hpp"
#include "postgres/holders.hpp"
#include "postgres/pool.hpp"
#include "postgres/rows.hpp"
#include "sql/position_text.hpp"
#include "sql/statements.hpp"

#include <algorithm>

namespace recordkv::view {
namespace {

using namespace postgres;

task<result<std::vector<reply>>> commit(session& s) {
  std::vector<request> one{{"COMMIT", {}}};
  return s.run("commit", std::move(one));
}

task<result<void>> begin_reading(session& s) {
  auto begun = co_await s.run("begin to read", opening_to_read(s.patience));
  if (!begun) co_return begun.error();
  co_return result<void>{};
}

task<result<builds>> look_now(session& s, std::string view) {
  if (auto begun = co_await begin_reading(s); !begun) co_return begun.error();
  auto all = co_await builds_of(s, std::move(view), false);
  if (!all) co_return all.error();
  co_return builds_in(*all);
}

/// The server checks the hooks. What it refuses now, it would refuse for every record.
task<result<void>> check_hooks(session& s, const plan& p, std::uint64_t number) {
  auto writer = row_writer::make(p, naming(p, number, false), false);
  if (!writer) co_return writer.error();
  auto all = writer->hooks_to_parse();
  if (all.empty()) co_return result<void>{};
  auto answers = co_await s.db.run(std::move(all));
  if (!answers) co_return answers.error();
  const auto& last = answers->back();
  if (last.refused() && last.state().starts_with("42"))
    co_return fail(errc::bad_config, "{}:{}: view.on_put or on_delete: {}; mend the SQL", p.file, p.line,
                   last.reason());
  if (last.refused()) co_return s.db.failure("look at the hooks", last);
  co_return result<void>{};
}

task<result<build>> begin_now(session& s, const plan& p, position start, std::uint64_t bulk_until,
                              std::uint64_t expected_next) {
  if (auto begun = co_await begin_change(s, p.name); !begun) co_return begun.error();
  auto all = co_await builds_of(s, p.name, true);
  if (!all) co_return all.error();
  if (auto seen = expect_next(*all, p.name, expected_next); !seen) co_return seen.error();
  if (auto done = co_await refuse_foreign_tables(s, p, *all); !done) co_return done.error();
  for (const auto& b : replaced(*all))
    if (auto done = co_await drop_build(s, b); !done) co_return done.error();
  position nowhere;
  if (find(*all, true) == nullptr)
    if (auto made = co_await make_build(s, p, true, std::move(nowhere), 0); !made) co_return made.error();
  auto made = co_await make_build(s, p, false, std::move(start), bulk_until);
  if (!made) co_return made.error();
  if (auto done = co_await check_hooks(s, p, made->number); !done) co_return done.error();
  std::vector<request> wish{{want_build(), {"false", p.name}}, {"COMMIT", {}}};
  if (auto done = co_await s.run("begin a build", std::move(wish)); !done) co_return done.error();
  co_return made;
}

task<result<void>> end_bulk_now(session& s, const plan& p, std::uint64_t number) {
  auto b = co_await begin_with(s, p, number);
  if (!b) co_return b.error();
  if (b->of.bulk_until == 0) co_return result<void>{};
  if (auto done = co_await finish_build(s, p, b->names()); !done) co_return done.error();
  std::vector<request> last{{end_bulk_of_build(), {fmt::to_string(number)}}, {"COMMIT", {}}};
  if (auto done = co_await s.run("end a bulk", std::move(last)); !done) co_return done.error();
  co_return result<void>{};
}

task<result<bool>> ready_now(session& s, const plan& p, std::uint64_t number, std::vector<std::string> partitions,
                             std::vector<std::string> all_partitions) {
  if (auto begun = co_await begin_change(s, p.name); !begun) co_return begun.error();
  auto all = co_await builds_of(s, p.name, true);
  if (!all) co_return all.error();
  const auto at = std::ranges::find_if(*all, [&](const stored_build& x) { return x.whole && x.of.number == number; });
  auto b = expect_build(p, number, at == all->end() ? std::nullopt : std::optional(*at));
  if (!b) co_return b.error();
  const auto state = readiness_of(p, *b, partitions, all_partitions);
  if (!state) co_return state.error();
  if (state->complete) {
    const auto live = std::ranges::find_if(*all, [](const stored_build& x) { return x.of.live; });
    const auto* const older = live == all->end() ? nullptr : &*live;
    if (auto done = co_await swap_builds(s, p, older, *b); !done) co_return done.error();
  } else {
    std::vector<request> note;
    note.push_back({ready_build(), {names_text(state->caught_up), fmt::to_string(number)}});
    if (auto done = co_await s.run("note which partitions have caught up", std::move(note)); !done)
      co_return done.error();
  }
  if (auto done = co_await commit(s); !done) co_return done.error();
  co_return state->complete;
}

/// The next build if it has this number, or all builds for nullopt.
task<result<void>> drop_now(session& s, std::string view, std::optional<std::uint64_t> number) {
  if (auto begun = co_await begin_change(s, view); !begun) co_return begun.error();
  auto all = co_await builds_of(s, view, true);
  if (!all) co_return all.error();
  for (const auto& b : *all)
    if (!number || (b.of.number == *number && !b.of.live))
      if (auto done = co_await drop_build(s, b); !done) co_return done.error();
  if (auto done = co_await commit(s); !done) co_return done.error();
  co_return result<void>{};
}

task<result<void>> want_rebuild_now(session& s, std::string view) {
  auto all = opening(s.patience);
  all.push_back({want_build(), {"true", view}});
  all.push_back({"COMMIT", {}});
  auto done = co_await s.run("ask for a rebuild", std::move(all));
  if (!done) co_return done.error();
  if ((*done)[done->size() - 2].affected() == 0) co_return no_such_view(view);
  co_return result<void>{};
}

task<result<std::vector<store::reject>>> rejects_now(session& s, std::string view, std::size_t limit) {
  if (auto begun = co_await begin_reading(s); !begun) co_return begun.error();
  auto all = co_await builds_of(s, view, false);
  if (!all) co_return all.error();
  const auto live = expect_live(*all, view);
  if (!live) co_return live.error();
  const auto most = std::min<std::size_t>(limit, std::numeric_limits<std::int64_t>::max());
  std::vector<request> one{{list_rejects(live->names()), {fmt::to_string(most)}}};
  auto got = co_await s.run("read rejects", std::move(one));
  if (!got) co_return got.error();
  const auto& r = got->back();
  std::vector<store::reject> out;
  out.reserve(static_cast<std::size_t>(r.rows()));
  for (int i = 0; i < r.rows(); ++i)
    out.push_back({std::string(r.text(i, 0)), std::string(r.text(i, 1)), r.number(i, 2)});
  co_return out;
}

task<result<std::vector<std::string>>> views_now(session& s) {
  auto all = opening_to_read(s.patience);
  all.push_back({list_views(), {}});
  auto got = co_await s.run("read its builds", std::move(all));
  if (!got) co_return got.error();
  const auto& r = got->back();
  std::vector<std::string> out;
  out.reserve(static_cast<std::size_t>(r.rows()));
  for (int i = 0; i < r.rows(); ++i) out.emplace_back(r.text(i, 0));
  co_return out;
}

/// Seconds. A reader of some minutes is usual, and not worth a warning.
constexpr double long_transaction = 300;

task<result<upkeep>> look_after_now(session& s, std::string place) {
  auto oldest = co_await oldest_transaction(s);
  if (!oldest) co_return oldest.error();
  upkeep out{.database = place, .wal_bytes = {}, .oldest_transaction = oldest->seconds, .warning = {}};
  if (oldest->seconds >= long_transaction)
    out.warning = fmt::format(
        "database {}: {} keeps a transaction open: PostgreSQL can remove no dead rows meanwhile, so tables grow, and a "
        "rebuilt view may not go live; end it: {}, or set idle_in_transaction_session_timeout",
        place, oldest->holder, oldest->remedy);
  co_return out;
}

class postgres_store final : public store {
 public:
  postgres_store(asio::io_context& io, std::string url, std::chrono::milliseconds patience)
      : place_(without_password(url)), pool_(std::make_shared<pool>(io, std::move(url), patience)) {}

  task<result<builds>> look(std::string view) override {
    const auto work = [&](session& s) { return look_now(s, view); };
    co_return co_await pool_->call(view, work);
  }
  task<result<build>> begin(const plan& p, position start, std::uint64_t bulk_until,
                            std::uint64_t expected_next) override {
    const auto work = [&](session& s) { return begin_now(s, p, start, bulk_until, expected_next); };
    co_return co_await pool_->call(p.name, work);
  }
  task<result<applied>> apply(const plan& p, std::uint64_t number, const std::vector<change>& changes,
                              position previous, position next) override {
    auto& unanswered = pool_->unanswered;
    const auto work = [&](session& s) { return postgres::apply(s, unanswered, p, number, changes, previous, next); };
    co_return co_await pool_->call(p.name, work);
  }
  task<result<void>> end_bulk(const plan& p, std::uint64_t number) override {
    const auto work = [&](session& s) { return end_bulk_now(s, p, number); };
    co_return co_await pool_->call(p.name, work);
  }
  task<result<bool>> ready(const plan& p, std::uint64_t number, std::vector<std::string> partitions,
                           std::vector<std::string> all_partitions) override {
    const auto work = [&](session& s) { return ready_now(s, p, number, partitions, all_partitions); };
    co_return co_await pool_->call(p.name, work);
  }
  task<result<void>> abandon(std::string view, std::uint64_t number) override {
    const auto work = [&](session& s) { return drop_now(s, view, number); };
    co_return co_await pool_->call(view, work);
  }
  task<result<void>> want_rebuild(std::string view) override {
    const auto work = [&](session& s) { return want_rebuild_now(s, view); };
    co_return co_await pool_->call(view, work);
  }
  task<result<std::vector<reject>>> rejects(std::string view, std::size_t limit) override {
    const auto work = [&](session& s) { return rejects_now(s, view, limit); };
    co_return co_await pool_->call(view, work);
  }
  task<result<std::uint64_t>> retry(const plan& p, std::vector<change> changes) override {
    const auto work = [&](session& s) { return postgres::retry(s, p, changes); };
    co_return co_await pool_->call(p.name, work);
  }
  task<result<std::vector<std::string>>> views() override {
    const auto work = [](session& s) { return views_now(s); };
    co_return co_await pool_->call("", work);
  }
  task<result<upkeep>> look_after() override {
    const auto work = [&](session& s) { return look_after_now(s, place_); };
    co_return co_await pool_->call("", work);
  }
  task<result<void>> drop(std::string view) override {
    const auto work = [&](session& s) { return drop_now(s, view, std::nullopt); };
    co_return co_await pool_->call(view, work);
  }

 private:
  const std::string place_;
  std::shared_ptr<pool> pool_;
};

}  // namespace

result<std::unique_ptr<store>> open_postgres(asio::io_context& io, const std::string& url,
                                             std::chrono::milliseconds patience) {
  if (auto good = connection::check(url); !good) return good.error();
  return std::unique_ptr<store>(std::make_unique<postgres_store>(io, url, patience));
}

}  // namespace recordkv::view
