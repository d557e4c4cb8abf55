#include "postgres/apply.hpp"

#include "recordkv/core/crash_point.hpp"

#include "postgres/builds.hpp"
#include "postgres/rows.hpp"
#include "postgres/sqlstate_hints.hpp"
#include "sql/position_text.hpp"
#include "sql/statements.hpp"

namespace recordkv::view::postgres {
namespace {

constexpr std::size_t piece_of_copy = 256 * 1024;

/// A batch that is written into a build.
class batch {
 public:
  batch(session& s, const plan& p, row_writer w, bool bulk) : s_(s), p_(p), w_(std::move(w)), bulk_(bulk) {}

  /// For plans with hooks: finds the keys that have rows, because on_delete runs only for these.
  task<result<void>> look(row_outcomes& all);
  /// The usual way: everything in one round trip, two with COPY, and `last` at the end. nullopt: a record is at fault,
  /// and nothing was done.
  task<result<std::optional<store::applied>>> at_once(const row_outcomes& all, std::vector<request> last);
  /// The other way: the batch is halved until each record at fault is alone. It becomes a reject.
  task<result<void>> divide(std::span<row_outcome> these, store::applied& count);

 private:
  task<result<bool>> copy(const row_outcomes& all);
  error refusal(const reply& r) const { return s_.db.failure(fmt::format("write rows of view {}", p_.name), r); }

  session& s_;
  const plan& p_;
  row_writer w_;
  bool bulk_;
};

void add(store::applied& count, const writing& w, const std::vector<reply>& answers, std::size_t offset) {
  count.rows += w.rows;
  count.rejected += w.rejected;
  for (const auto at : w.erasing) count.erased += answers[at + offset].affected();
}

task<result<void>> batch::look(row_outcomes& all) {
  if (!p_.has_hooks() || all.empty()) co_return result<void>{};
  std::vector<request> ask;
  ask.push_back(w_.which_have_rows(all));
  auto have = co_await s_.run("look for rows", std::move(ask));
  if (!have) co_return have.error();
  const auto& r = have->back();
  for (int i = 0; i < r.rows(); ++i)
    if (const auto at = r.number(i, 0); at >= 1 && at <= all.size()) all[at - 1].had = true;
  co_return result<void>{};
}

/// False: a record is at fault.
task<result<bool>> batch::copy(const row_outcomes& all) {
  auto at = all.begin();
  const pieces more = [&](std::string& piece) {
    while (at != all.end() && piece.size() < piece_of_copy) w_.copy_lines(*at++, piece);
    return !piece.empty();
  };
  auto done = co_await s_.db.copy(w_.copy_statement(), more);
  if (!done) co_return done.error();
  if (!done->refused()) co_return true;
  if (!blames_record(done->state())) co_return refusal(*done);
  co_return false;
}

task<result<std::optional<store::applied>>> batch::at_once(const row_outcomes& all, std::vector<request> last) {
  std::optional<store::applied> none;
  auto w = w_.write(all, bulk_);
  if (bulk_ && w.rows > 0) {
    auto copied = co_await copy(all);
    if (!copied) co_return copied.error();
    if (!*copied) co_return none;
  }
  auto requests = std::move(w.requests);
  for (auto& r : last) requests.push_back(std::move(r));
  auto answers = co_await s_.db.run(std::move(requests));
  if (!answers) co_return answers.error();
  if (answers->back().refused()) {
    if (blames_record(answers->back().state())) co_return none;
    co_return refusal(answers->back());
  }
  std::optional<store::applied> count(std::in_place);
  add(*count, w, *answers, 0);
  co_return count;
}

task<result<void>> batch::divide(std::span<row_outcome> these, store::applied& count) {
  if (these.empty()) co_return result<void>{};
  auto w = w_.write(these);
  std::vector<request> requests{{"SAVEPOINT recordkv", {}}};
  for (auto& r : w.requests) requests.push_back(std::move(r));
  requests.push_back({"RELEASE SAVEPOINT recordkv", {}});
  auto answers = co_await s_.db.run(std::move(requests));
  if (!answers) co_return answers.error();
  const auto& last = answers->back();
  if (!last.refused()) {
    add(count, w, *answers, 1);
    co_return result<void>{};
  }
  if (!blames_record(last.state())) co_return refusal(last);
  std::vector<request> undo{{"ROLLBACK TO SAVEPOINT recordkv", {}}, {"RELEASE SAVEPOINT recordkv", {}}};
  if (auto undone = co_await s_.run("undo a part", std::move(undo)); !undone) co_return undone.error();
  if (these.size() > 1) {
    const auto half = these.size() / 2;
    if (auto done = co_await divide(these.first(half), count); !done) co_return done.error();
    co_return co_await divide(these.subspan(half), count);
  }
  if (!these.front().reject(row_writer::refusal(w, answers->size() - 2, last.reason()))) co_return refusal(last);
  co_return co_await divide(these, count);
}

bool stands_at(const position& stored, const position& at) { return moved(stored, at, at).has_value(); }

}  // namespace

/// A COMMIT without an answer may have been done: it is a suspect. The caller tries the same batch again. If the
/// position is at `next` by then, the batch counts as done. Another process may have moved it there. But the position
/// says that all messages up to it are folded into this build, so these are, too. A caller without a suspect gets the
/// conflict: another process works on the same build. The older session cannot commit later, because it holds the
/// build's lock until it ends, and this one reads the position under that lock.
task<result<store::applied>> apply(session& s, suspects& unanswered, const plan& p, std::uint64_t number,
                                   const std::vector<change>& changes, const position& previous, const position& next) {
  const suspect asked{number, previous, next};
  for (const bool dividing : {false, true}) {
    auto b = co_await begin_with(s, p, number);
    if (!b) co_return b.error();
    const bool bulk = b->of.bulk_until != 0;
    auto writer = row_writer::make(p, b->names(), bulk);
    if (!writer) co_return writer.error();
    auto all = writer->outcomes_of(changes);
    const auto open = unanswered.find(number);
    const bool suspected = open != unanswered.end() && open->second == asked;
    if (open != unanswered.end()) unanswered.erase(open);
    const auto to = expect_position(p, b->of.at, previous, next);
    if (!to && suspected && stands_at(b->of.at, next)) {
      const auto w = writer->write(all);
      co_return store::applied{.rows = w.rows, .rejected = w.rejected, .erased = 0, .live = b->of.live};
    }
    if (!to) co_return to.error();
    batch work(s, p, std::move(*writer), bulk);
    if (auto seen = co_await work.look(all); !seen) co_return seen.error();
    std::vector<request> last{set_position(number, *to), {"COMMIT", {}}};
    store::applied count;
    if (dividing) {
      if (auto done = co_await work.divide(all, count); !done) co_return done.error();
      all.clear();
    }
    unanswered.insert_or_assign(number, asked);
    crash_point("view.before_commit");
    auto done = co_await work.at_once(all, std::move(last));
    if (done || s.db.connected()) unanswered.erase(number);
    if (!done) co_return done.error();
    if (*done) {
      crash_point("view.after_commit");
      count.rows += (*done)->rows;
      count.rejected += (*done)->rejected;
      count.erased += (*done)->erased;
      count.live = b->of.live;
      co_return count;
    }
    std::vector<request> undo{{"ROLLBACK", {}}};
    if (auto undone = co_await s.run("undo a batch", std::move(undo)); !undone) co_return undone.error();
  }
  co_return fail(errc::storage, "view {}: PostgreSQL refuses a batch whose records it takes one by one", p.name);
}

task<result<std::uint64_t>> retry(session& s, const plan& p, const std::vector<change>& changes) {
  if (auto begun = co_await s.run("begin", opening(s.patience)); !begun) co_return begun.error();
  auto builds = co_await builds_of(s, p.name, true);
  if (!builds) co_return builds.error();
  const auto live = expect_live(*builds, p);
  if (!live) co_return live.error();
  std::vector<request> looks;
  looks.reserve(changes.size());
  for (const auto& c : changes) looks.push_back({same_reject(live->names()), {at_uri_of(c), fmt::to_string(c.seq)}});
  if (looks.empty()) co_return 0;
  auto there = co_await s.run("read rejects", std::move(looks));
  if (!there) co_return there.error();
  std::vector<change> still;
  for (std::size_t i = 0; i < changes.size(); ++i)
    if ((*there)[i].rows() > 0) still.push_back(changes[i]);
  auto writer = row_writer::make(p, live->names(), false);
  if (!writer) co_return writer.error();
  auto all = writer->outcomes_of(still);
  batch work(s, p, std::move(*writer), false);
  if (auto seen = co_await work.look(all); !seen) co_return seen.error();
  store::applied count;
  if (auto done = co_await work.divide(all, count); !done) co_return done.error();
  std::vector<request> last{{"COMMIT", {}}};
  if (auto done = co_await s.run("commit", std::move(last)); !done) co_return done.error();
  co_return all.size() - count.rejected;
}

}  // namespace recordkv::view::postgres
