#include "sqlite/rows.hpp"

#include "sql/statements.hpp"

#include <algorithm>
#include <tuple>

namespace recordkv::view {
namespace {

/// Returns the number of the next parameter.
int bind_key(statement& s, const plan& p, const change& c) {
  int at = 1;
  for (const auto part : key_members(p)) s.bind(at++, c.*part);
  return at;
}

void bind_row(statement& s, const plan& p, const change& c, std::size_t idx) {
  int at = bind_key(s, p, c);
  if (p.many()) s.bind(at++, static_cast<std::int64_t>(idx));
  for (const auto& value : c.rows[idx]) s.bind_cell(at++, value);
}

}  // namespace

result<sqlite_rows> sqlite_rows::prepare(database& db, const plan& p, const naming& n, bool bulk) {
  sqlite_rows out;
  out.live_ = n.live;
  out.bulk_ = bulk;
  const auto one = [&](statement& into, const std::string& sql) -> result<void> {
    auto made = db.prepare(sql);
    if (!made) return made.error();
    into = std::move(*made);
    return {};
  };
  if (auto done = one(out.row_, bulk ? append_row(p, n) : upsert_row(p, n)); !done) return done.error();
  if (auto done = one(out.put_reject_, view::put_reject(n)); !done) return done.error();
  if (bulk) return out;
  if (auto done = one(out.erase_, erase_rows(p, n)); !done) return done.error();
  if (p.many())
    if (auto done = one(out.trim_, view::trim_rows(p, n)); !done) return done.error();
  if (auto done = one(out.erase_reject_, erase_reject(n)); !done) return done.error();
  if (auto done = one(out.same_reject_, same_reject(n)); !done) return done.error();
  if (auto done = one(out.any_reject_, any_reject(n)); !done) return done.error();
  if (auto done = one(out.new_row_, insert_row(p, n)); !done) return done.error();
  if (auto done = one(out.foreign_trigger_, any_foreign_trigger()); !done) return done.error();
  auto counts = own_counts::prepare(db, p, n);
  if (!counts) return counts.error();
  out.counts_ = std::move(*counts);
  auto compiled = compile_hooks(p, n.rows());
  if (!compiled) return compiled.error();
  auto on_put = prepare_hooks(db, p, "on_put", compiled->on_put);
  if (!on_put) return on_put.error();
  auto on_delete = prepare_hooks(db, p, "on_delete", compiled->on_delete);
  if (!on_delete) return on_delete.error();
  out.on_put_ = std::move(*on_put);
  out.on_delete_ = std::move(*on_delete);
  return out;
}

result<sqlite_rows::hooks> sqlite_rows::prepare_hooks(database& db, const plan& p, std::string_view which,
                                                      std::vector<hook_statement>& compiled) {
  hooks out;
  for (auto& c : compiled) {
    auto s = db.prepare_guest(c.sql);
    if (!s && db.statement_failed()) return hook_mistake(p, which, db.reason());
    if (!s) return s.error();
    out.push_back({std::move(*s), std::move(c.parameters)});
  }
  return out;
}

result<void> sqlite_rows::write(database& db, const plan& p, const std::vector<change>& changes,
                                store::applied& count) {
  if (!bulk_)
    if (auto done = look_for_rejects(db); !done) return done.error();
  if (auto done = choose_who_counts(db, p); !done) return done.error();
  for (auto& o : outcomes_of(p, changes, bulk_))
    if (auto done = bulk_ ? append(db, p, o, count) : write_one(db, p, o, count); !done) return done.error();
  return counts_itself_ ? counts_.write(db) : result<void>{};
}

/// A bulk is counted at its end. Hooks write rows as they like, and other people's triggers want to see each row: then
/// triggers are on, and ours count, too. The transaction holds the write lock, so no other program makes a trigger
/// meanwhile.
result<void> sqlite_rows::choose_who_counts(database& db, const plan& p) {
  counts_.forget();
  counts_itself_ = false;
  if (counts_.any() && !p.has_hooks()) {
    const int code = foreign_trigger_.step();
    if (code != SQLITE_ROW && code != SQLITE_DONE) return db.failure("look for triggers");
    if (code == SQLITE_ROW) foreign_trigger_.reset();
    counts_itself_ = code == SQLITE_DONE;
  }
  db.set_triggers(!counts_itself_);
  return {};
}

/// The transaction holds the write lock, so the answer stays true until this process writes a reject.
result<void> sqlite_rows::look_for_rejects(database& db) {
  const int code = any_reject_.step();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return db.failure("read rejects");
  if (code == SQLITE_ROW) any_reject_.reset();
  any_rejects_ = code == SQLITE_ROW;
  return {};
}

result<void> sqlite_rows::append(database& db, const plan& p, const row_outcome& o, store::applied& count) {
  if (!o.rejection_reason.empty()) {
    ++count.rejected;
    return put_reject(db, *o.of, o.rejection_reason);
  }
  return put_rows(db, p, o, count);
}

/// With hooks a single record may be refused. Then what was written of it is undone, and it becomes a reject.
result<void> sqlite_rows::write_one(database& db, const plan& p, row_outcome& o, store::applied& count) {
  if (!p.has_hooks()) return settle(db, p, o, count);
  while (true) {
    auto part = savepoint::begin(db);
    if (!part) return part.error();
    auto counted = count;
    hook_refused_ = false;
    const auto done = settle(db, p, o, counted);
    if (done) {
      count = counted;
      return part->keep();
    }
    if (!hook_refused_) return done.error();
    if (auto undone = part->undo(); !undone) return undone.error();
    if (!o.reject(refusal_)) return done.error();
  }
}

result<void> sqlite_rows::settle(database& db, const plan& p, const row_outcome& o, store::applied& count) {
  const auto& c = *o.of;
  if (o.rows > 0) {
    if (auto done = put_rows(db, p, o, count); !done) return done.error();
    if (p.many())
      if (auto done = trim_rows(db, p, o, count); !done) return done.error();
    if (auto done = o.hooks ? run_hooks(db, on_put_, c) : result<void>{}; !done) return done.error();
  } else {
    if (counts_itself_)
      if (auto done = counts_.take_away(db, p, c); !done) return done.error();
    bind_key(erase_, p, c);
    if (erase_.step() != SQLITE_DONE) return db.failure("delete a row");
    const auto gone = db.changes();
    count.erased += static_cast<std::uint64_t>(gone);
    if (gone > 0 && o.hooks)
      if (auto done = run_hooks(db, on_delete_, c); !done) return done.error();
  }
  if (!o.rejection_reason.empty()) {
    ++count.rejected;
    return put_reject(db, c, o.rejection_reason);
  }
  if (!any_rejects_) return {};
  const auto uri = at_uri_of(c);
  erase_reject_.bind(1, uri);
  if (erase_reject_.step() != SQLITE_DONE) return db.failure("delete a reject");
  return {};
}

/// Rows are overwritten in place: the columns of hooks stay, and a counter is not touched if its value stays the same.
result<void> sqlite_rows::put_rows(database& db, const plan& p, const row_outcome& o, store::applied& count) {
  if (counts_itself_ && p.many())
    if (auto done = counts_.take_away(db, p, *o.of); !done) return done.error();
  for (std::size_t i = 0; i < o.rows; ++i)
    if (auto done = put_row(db, p, *o.of, i); !done) return done.error();
  count.rows += o.rows;
  return {};
}

/// Most rows are new. What an older row counted is only read if there is one.
result<void> sqlite_rows::put_row(database& db, const plan& p, const change& c, std::size_t idx) {
  if (counts_itself_) {
    counts_.add(p, c, idx);
    if (!p.many()) {
      bind_row(new_row_, p, c, idx);
      if (new_row_.step() != SQLITE_DONE) return db.failure("write a row");
      if (db.changes() == 1) return {};
      if (auto done = counts_.take_away(db, p, c); !done) return done.error();
    }
  }
  bind_row(row_, p, c, idx);
  if (row_.step() != SQLITE_DONE) return db.failure("write a row");
  return {};
}

/// Deletes older rows beyond the new count.
result<void> sqlite_rows::trim_rows(database& db, const plan& p, const row_outcome& o, store::applied& count) {
  const int count_at = bind_key(trim_, p, *o.of);
  trim_.bind(count_at, static_cast<std::int64_t>(o.rows));
  if (trim_.step() != SQLITE_DONE) return db.failure("delete a row");
  count.erased += static_cast<std::uint64_t>(db.changes());
  return {};
}

result<void> sqlite_rows::put_reject(database& db, const change& c, std::string_view reason) {
  const auto uri = at_uri_of(c);
  put_reject_.bind(1, uri);
  put_reject_.bind(2, reason);
  put_reject_.bind(3, static_cast<std::int64_t>(c.seq));
  if (put_reject_.step() != SQLITE_DONE) return db.failure("write a reject");
  any_rejects_ = true;
  return {};
}

result<void> sqlite_rows::run_hooks(database& db, hooks& all, const change& c) {
  for (auto& h : all) {
    std::vector<std::optional<std::string>> values;
    values.reserve(h.parameters.size());
    for (const auto p : h.parameters) values.push_back(hook_value(p, c));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int at = static_cast<int>(i) + 1;
      if (values[i])
        h.run.bind(at, *values[i]);
      else
        h.run.bind_null(at);
    }
    int code = SQLITE_DONE;
    while ((code = h.run.step()) == SQLITE_ROW) {
    }
    if (code == SQLITE_DONE) continue;
    refusal_ = fmt::format("{}: {}", &all == &on_put_ ? "on_put" : "on_delete", db.reason());
    auto why = db.failure("run a hook");
    // A hook that no longer compiles, because its table is gone, is not the record's fault: the view waits.
    hook_refused_ = db.statement_failed() && db.prepare_guest(std::string(h.run.sql())).has_value();
    return why;
  }
  return {};
}

result<void> sqlite_rows::retry(database& db, const plan& p, const change& c, bool& fits) {
  fits = false;
  const auto uri = at_uri_of(c);
  same_reject_.bind(1, uri);
  same_reject_.bind(2, static_cast<std::int64_t>(c.seq));
  const int code = same_reject_.step();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return db.failure("read rejects");
  if (code == SQLITE_DONE) return {};  // a newer value of the record has come since, or another call has tried it
  same_reject_.reset();
  any_rejects_ = true;
  store::applied count;
  auto o = outcome_of(p, c);
  if (auto done = choose_who_counts(db, p); !done) return done.error();
  if (auto done = write_one(db, p, o, count); !done) return done.error();
  if (auto done = counts_itself_ ? counts_.write(db) : result<void>{}; !done) return done.error();
  fits = count.rejected == 0;
  return {};
}

}  // namespace recordkv::view
