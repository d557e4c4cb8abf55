#include "sqlite/rows.hpp"

#include "sql/statements.hpp"

#include <algorithm>
#include <tuple>

namespace recordkv::view {
namespace {

/// The changes that count: the last of each key. In the table's own order, so that neighbours meet the same page while
/// it is at hand; with hooks, which may look beyond their key, in the order of the store.
std::vector<const change*> newest(const std::vector<change>& changes, bool in_store_order) {
  std::vector<const change*> out;
  out.reserve(changes.size());
  for (const auto& c : changes) out.push_back(&c);
  const auto key = [](const change* c) { return std::tie(c->did, c->collection, c->rkey); };
  // They stand in one array, so their addresses are their order. The newest of a key comes first and stays.
  std::ranges::sort(out, [&](const change* a, const change* b) {
    const auto order = key(a) <=> key(b);
    return order != 0 ? order < 0 : a > b;
  });
  const auto rest = std::ranges::unique(out, [&](const change* a, const change* b) { return key(a) == key(b); });
  out.erase(rest.begin(), rest.end());
  if (in_store_order) std::ranges::sort(out);
  return out;
}

void bind_key(statement& s, const change& c) {
  s.bind(1, c.did);
  s.bind(2, c.collection);
  s.bind(3, c.rkey);
}

void bind_row(statement& s, const plan& p, const change& c, std::size_t idx) {
  bind_key(s, c);
  int at = 4;
  if (p.many()) s.bind(at++, static_cast<std::int64_t>(idx));
  for (const auto& value : c.rows[idx]) s.bind_cell(at++, value);
}

/// Rows that a plan takes of a change: one where its key has no index.
std::size_t rows_of(const plan& p, const change& c) {
  return p.many() ? c.rows.size() : std::min<std::size_t>(c.rows.size(), 1);
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
  if (auto done = one(out.erase_, erase_rows(n)); !done) return done.error();
  if (p.many())
    if (auto done = one(out.trim_, trim_rows(n)); !done) return done.error();
  if (auto done = one(out.erase_reject_, erase_reject(n)); !done) return done.error();
  if (auto done = one(out.same_reject_, same_reject(n)); !done) return done.error();
  if (auto done = one(out.any_reject_, any_reject(n)); !done) return done.error();
  auto on_put = prepare_hooks(db, p, n, "on_put");
  if (!on_put) return on_put.error();
  auto on_delete = prepare_hooks(db, p, n, "on_delete");
  if (!on_delete) return on_delete.error();
  out.on_put_ = std::move(*on_put);
  out.on_delete_ = std::move(*on_delete);
  return out;
}

result<sqlite_rows::hooks> sqlite_rows::prepare_hooks(database& db, const plan& p, const naming& n,
                                                      std::string_view which) {
  const auto& text = which == "on_put" ? p.on_put : p.on_delete;
  auto compiled = compile_hook(text, n.rows());
  const auto wrong = [&](std::string_view why) {
    return fail(errc::bad_config, "{}:{}: view.{}: {}; mend the SQL", p.file, p.line, which, why);
  };
  if (!compiled) return wrong(compiled.error().text);
  hooks out;
  for (auto& c : *compiled) {
    auto s = db.prepare_guest(c.sql);
    if (!s && db.statement_failed()) return wrong(db.reason());
    if (!s) return s.error();
    out.push_back({std::move(*s), std::move(c.parameters)});
  }
  return out;
}

result<void> sqlite_rows::write(database& db, const plan& p, const std::vector<change>& changes,
                                store::applied& count) {
  if (bulk_) {
    for (const auto& c : changes)
      if (p.wants(c.collection))
        if (auto done = append(db, p, c, count); !done) return done.error();
    return {};
  }
  if (auto done = look_for_rejects(db); !done) return done.error();
  for (const auto* c : newest(changes, p.has_hooks())) {
    if (!p.wants(c->collection)) continue;  // not of this view, whoever handed it in
    if (auto done = write_one(db, p, *c, count); !done) return done.error();
  }
  return {};
}

/// Nobody else writes while the transaction holds the lock, so the look stays true until we put one in ourselves.
result<void> sqlite_rows::look_for_rejects(database& db) {
  const int code = any_reject_.step();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return db.failure("read rejects");
  if (code == SQLITE_ROW) any_reject_.reset();
  any_rejects_ = code == SQLITE_ROW;
  return {};
}

result<void> sqlite_rows::append(database& db, const plan& p, const change& c, store::applied& count) {
  if (!c.rejection_reason.empty() && !c.erase) {
    ++count.rejected;
    return put_reject(db, c, c.rejection_reason);
  }
  const auto n = c.erase ? 0 : rows_of(p, c);
  for (std::size_t i = 0; i < n; ++i) {
    bind_row(row_, p, c, i);
    if (row_.step() != SQLITE_DONE) return db.failure("write a row");
  }
  count.rows += n;
  return {};
}

result<void> sqlite_rows::write_one(database& db, const plan& p, const change& c, store::applied& count) {
  if (p.has_hooks()) return write_guarded(db, p, c, count);
  const std::string_view rejection_reason = c.erase ? std::string_view() : c.rejection_reason;
  return settle(
      db, p, c,
      {.rows = !c.erase && rejection_reason.empty() && rows_of(p, c) > 0, .rejection_reason = rejection_reason}, count);
}

/// With hooks a single record may be refused. It is then taken back and becomes a reject: its older rows go, and
/// on_delete hears of them; if that is refused, too, they go without it.
result<void> sqlite_rows::write_guarded(database& db, const plan& p, const change& c, store::applied& count) {
  const std::string_view rejection_reason = c.erase ? std::string_view() : c.rejection_reason;
  outcome to{.rows = !c.erase && rejection_reason.empty() && rows_of(p, c) > 0,
             .rejection_reason = rejection_reason,
             .with_hooks = true};
  std::string reason;
  while (true) {
    auto part = savepoint::begin(db);
    if (!part) return part.error();
    auto counted = count;
    hook_refused_ = false;
    const auto done = settle(db, p, c, to, counted);
    if (done) {
      count = counted;
      return part->keep();
    }
    if (!hook_refused_) return done.error();
    if (auto undone = part->undo(); !undone) return undone.error();
    if (reason.empty()) reason = refusal_;
    to = {.rows = false, .rejection_reason = reason, .with_hooks = to.rows};
  }
}

result<void> sqlite_rows::settle(database& db, const plan& p, const change& c, const outcome& to,
                                 store::applied& count) {
  if (to.rows) {
    if (auto done = put_rows(db, p, c, count); !done) return done.error();
    if (auto done = to.with_hooks ? run_hooks(db, on_put_, c) : result<void>{}; !done) return done.error();
  } else {
    bind_key(erase_, c);
    if (erase_.step() != SQLITE_DONE) return db.failure("delete a row");
    const auto gone = db.changes();
    count.erased += static_cast<std::uint64_t>(gone);
    if (gone > 0 && to.with_hooks)
      if (auto done = run_hooks(db, on_delete_, c); !done) return done.error();
  }
  if (!to.rejection_reason.empty()) {
    ++count.rejected;
    return put_reject(db, c, to.rejection_reason);
  }
  if (!any_rejects_) return {};
  const auto uri = at_uri_of(c);
  erase_reject_.bind(1, uri);
  if (erase_reject_.step() != SQLITE_DONE) return db.failure("delete a reject");
  return {};
}

/// Rows are overwritten in place and those beyond are cut off: what hooks keep in a row survives its update, and a
/// counter whose value stays the same is not touched.
result<void> sqlite_rows::put_rows(database& db, const plan& p, const change& c, store::applied& count) {
  const auto n = rows_of(p, c);
  for (std::size_t i = 0; i < n; ++i) {
    bind_row(row_, p, c, i);
    if (row_.step() != SQLITE_DONE) return db.failure("write a row");
  }
  count.rows += n;
  if (!p.many()) return {};
  bind_key(trim_, c);
  trim_.bind(4, static_cast<std::int64_t>(n));
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
  if (code == SQLITE_DONE) return {};  // a newer value of the record has come since, or somebody tried it before
  same_reject_.reset();
  any_rejects_ = true;
  store::applied count;
  if (auto done = write_one(db, p, c, count); !done) return done.error();
  fits = count.rejected == 0;
  return {};
}

}  // namespace recordkv::view
