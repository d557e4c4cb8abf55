// `view`: what the views are, how far they are, and what can be done with one.
//
// Owns: the actions on a view. Does not know: view files (view_files.hpp), SQL.
#include "commands.hpp"

#include "lock_table.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "recordkv/core/json_fields.hpp"
#include "recordkv/kv/partition_set.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/projection/configured_views.hpp"
#include "recordkv/projection/view_changes.hpp"
#include "recordkv/view/store.hpp"
#include "running_index.hpp"
#include "status_facts.hpp"
#include "stores_there.hpp"
#include "view_files.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::cli {
namespace json = boost::json;
namespace {

using namespace std::chrono_literals;

/// What the processes that keep a view report, taken together.
struct keeping {
  std::size_t processes = 0;
  double events = 0, lag_messages = 0, lag_seconds = 0;
  double position = -1, goal = 0;  // of the next build; -1: none
  bool indexed = false;
  std::string stall;
};

keeping keeping_of(const std::vector<lock_row>& rows, const std::string& view) {
  keeping k;
  for (const auto& r : rows) {
    if (!r.live || text_of(r.report, "view") != view) continue;
    ++k.processes;
    k.events += number_field(r.report, "events");
    k.lag_messages += number_field(r.report, "lag_messages");
    k.lag_seconds = std::max(k.lag_seconds, number_field(r.report, "lag_seconds"));
    if (const auto* b = object_field(r.report, "building")) {
      const auto at = number_field(*b, "position");
      k.position = k.position < 0 ? at : std::min(k.position, at);
      k.goal = std::max(k.goal, number_field(*b, "goal"));
      k.indexed = text_of(*b, "indexed") == "true";
    }
    if (text_of(r.report, "state") == "stalled")
      k.stall = text_of(r.report, "cause") + ": " + text_of(r.report, "reason");
  }
  return k;
}

double part_of(const keeping& k) { return k.goal > 0 ? std::clamp(k.position / k.goal, 0.0, 1.0) : 0; }

std::string state_of(const view::builds& b, const keeping& k) {
  const bool answers = b.live && !b.live->at.created.empty();
  std::string out = answers ? "answers" : b.live ? "empty" : "never built";
  if (b.next) out += fmt::format(", next build {:.0f} %", part_of(k) * 100);
  if (b.rebuild_wanted) out += ", rebuild requested";
  if (k.processes == 0) out += ", no process keeps it";
  if (!k.stall.empty()) out += ", STALLED (" + k.stall + ")";
  return out;
}

task<> pause(std::chrono::milliseconds d) {
  asio::steady_timer t(co_await asio::this_coro::executor, d);
  co_await t.async_wait(use_task);
}

/// A view whose database does not exist yet has no builds.
result<view::builds> builds_of(const std::string& database, const std::string& name) {
  auto b = view::read_builds(database, name);
  if (!b && b.error().code == errc::not_found) return view::builds{};
  return b;
}

task<int> list(session s, invocation i) {
  auto before = co_await read_locks(s.nc, s.names());
  if (!before) co_return complain(before.error());
  auto plans = meant_views(s.cfg, *before);
  if (!plans) co_return complain(plans.error());
  const auto from = std::chrono::steady_clock::now();
  co_await pause(2100ms);  // reports are renewed every second: two of them give a rate
  auto after = co_await read_locks(s.nc, s.names());
  if (!after) co_return complain(after.error());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  if (!i.json) write_out("{:<16} {:>12} {:>8} {:>10}  {}\n", "view", "behind", "lag", "events/s", "state");
  for (const auto& p : *plans) {
    auto b = builds_of(database_of(s.cfg, *after, p.name), p.name);
    if (!b) co_return complain(b.error());
    const auto k = keeping_of(*after, p.name);
    const double rate = std::max(0.0, k.events - keeping_of(*before, p.name).events) / seconds;
    if (i.json) {
      json::object o{{"view", p.name},
                     {"state", state_of(*b, k)},
                     {"processes", k.processes},
                     {"lag_messages", k.lag_messages},
                     {"lag_seconds", k.lag_seconds},
                     {"events_per_second", rate}};
      o["build"] = b->live ? json::value(b->live->number) : json::value(nullptr);
      o["next"] = b->next ? json::value(part_of(k)) : json::value(nullptr);
      write_out("{}\n", json::serialize(o));
    } else {
      write_out("{:<16} {:>12.0f} {:>6.1f} s {:>10.0f}  {}\n", p.name, k.lag_messages, k.lag_seconds, rate,
                state_of(*b, k));
    }
  }
  co_return done;
}

std::string seq_range(const view::position& at) {
  std::uint64_t low = UINT64_MAX, high = 0;
  for (const auto& [label, seq] : at.seq) {
    low = std::min(low, seq);
    high = std::max(high, seq);
  }
  if (at.seq.empty()) return "nothing folded yet";
  return low == high ? fmt::format("folded up to sequence {}", low)
                     : fmt::format("folded up to sequence {} to {}, by partition", low, high);
}

task<int> show(session s, invocation i) {
  auto locks = co_await read_locks(s.nc, s.names());
  if (!locks) co_return complain(locks.error());
  const auto database = database_of(s.cfg, *locks, i.view);
  auto b = view::read_builds(database, i.view);
  if (!b) co_return complain(b.error());
  write_out("view      {}: {}\ndatabase  {}\n", i.view, state_of(*b, keeping_of(*locks, i.view)),
            view::without_password(database));
  for (const auto* one : {b->live ? &*b->live : nullptr, b->next ? &*b->next : nullptr})
    if (one != nullptr)
      write_out("{:<9} build {}, definition {}, {}\n", one->live ? "live" : "next", one->number, one->hash,
                seq_range(one->at));
  if (b->live) write_out("\n{}\n", b->live->definition);
  co_return done;
}

task<result<void>> follow_rebuild(session s, const std::string& name, const std::string& database, std::uint64_t old) {
  progress bar("view " + name);
  for (;;) {
    auto b = view::read_builds(database, name);
    if (!b) co_return b.error();
    if (b->live && b->live->number != old && !b->rebuild_wanted) co_return result<void>{};
    auto locks = co_await read_locks(s.nc, s.names());
    const auto k = locks ? keeping_of(*locks, name) : keeping{};
    if (locks)
      if (auto kept = is_kept(*locks, name, s.cfg.kv.partitions); !kept)
        co_return fail(kept.error().code, "{}; the view is rebuilt as soon as one runs", kept.error().text);
    bar.show(b->next ? part_of(k) : 0, !b->next    ? "waiting for its process"
                                       : k.indexed ? fmt::format("catching up, {:.0f} of {:.0f}", k.position, k.goal)
                                                   : fmt::format("sequence {:.0f} of {:.0f}", k.position, k.goal));
    co_await pause(200ms);
  }
}

// Reads first: opening a database for writing creates it, and the view must exist already.
task<int> rebuild(session s, invocation i) {
  auto locks = co_await read_locks(s.nc, s.names());
  if (!locks) co_return complain(locks.error());
  const auto database = database_of(s.cfg, *locks, i.view);
  auto there = view::read_builds(database, i.view);
  if (!there) co_return complain(there.error());
  if (there->next) co_return complain(fail(errc::conflict, "view {} is being rebuilt already", i.view));
  auto rows = view::store::open(s.nc.io(), database);
  if (!rows) co_return complain(rows.error());
  if (auto requested = co_await (*rows)->want_rebuild(i.view); !requested) co_return complain(requested.error());
  auto followed = co_await follow_rebuild(s, i.view, database, there->live ? there->live->number : 0);
  if (!followed) co_return complain(followed.error());
  write_out("view {} is rebuilt\n", i.view);
  co_return done;
}

// The rejected message as the view's definition reads it now, if it is still the newest of its key.
task<result<std::optional<view::change>>> reread(session s, const projection::view_reading& how,
                                                 view::store::reject r) {
  auto key = how.from.key_of_uri(r.uri);
  if (!key) co_return std::nullopt;
  auto m = co_await nats::last_message(s.nc, how.from.stream(), how.from.subject_of(*key));
  if (!m && m.error().code == errc::not_found) co_return std::nullopt;
  if (!m) co_return m.error();
  if (m->seq != r.seq) co_return std::nullopt;  // a newer one reaches the view by itself
  co_return projection::change_of(how, std::move(*key),
                                  {.cid = m->header_value("cid"),
                                   .rev = m->header_value("rev"),
                                   .time = m->header_value("time"),
                                   .json = m->data,
                                   .seq = r.seq});
}

task<int> retry(session s, invocation i) {
  auto locks = co_await read_locks(s.nc, s.names());
  if (!locks) co_return complain(locks.error());
  auto plans = meant_views(s.cfg, *locks);
  if (!plans) co_return complain(plans.error());
  const auto p = std::ranges::find(*plans, i.view, &view::plan::name);
  if (p == plans->end())
    co_return complain(fail(errc::bad_config, "there is no view \"{}\"; `recordkv view list` names them", i.view));
  auto meta = co_await kv::read_meta(s.nc, s.names());
  if (!meta) co_return complain(meta.error());
  const auto database = database_of(s.cfg, *locks, i.view);
  auto there = view::read_builds(database, i.view);  // reads first: opening a database for writing creates it
  if (!there) co_return complain(there.error());
  if (!there->live || there->live->hash != p->hash())
    co_return complain(fail(errc::mismatch,
                            "view {} was built from another definition; its rejects are read again by "
                            "the build of the new definition",
                            i.view));
  auto rows = view::store::open(s.nc.io(), database);
  if (!rows) co_return complain(rows.error());
  auto rejects = co_await (*rows)->rejects(i.view, i.limit);
  if (!rejects) co_return complain(rejects.error());
  const projection::view_reading how(*p, s.names(), meta->partitions);
  std::vector<view::change> changes;
  for (auto& r : *rejects) {
    auto one = co_await reread(s, how, std::move(r));
    if (!one) co_return complain(one.error());
    if (*one) changes.push_back(std::move(**one));
  }
  auto fit = co_await (*rows)->retry(*p, std::move(changes));
  if (!fit) co_return complain(fit.error());
  write_out("{} of {} rejects fit now\n", *fit, rejects->size());
  co_return *fit == rejects->size() ? done : no;
}

// A mistyped bucket has no views, however many another one has.
task<int> in_store(session s, const invocation& i, task<int> (*action)(session, invocation)) {
  if (auto fits = co_await not_mistyped(s); !fits) co_return complain(fits.error());
  co_return co_await action(s, i);
}

}  // namespace

int view_command(const invocation& i, const config& cfg) {
  if (i.action == "check") return check_views(i, cfg);
  if (i.action == "show" && i.toml) return print_definition(i, cfg);
  if (i.action == "list") return with_nats(cfg, [&](session s) { return in_store(s, i, list); });
  if (i.action == "show") return with_nats(cfg, [&](session s) { return in_store(s, i, show); });
  if (i.action == "rebuild") return with_nats(cfg, [&](session s) { return in_store(s, i, rebuild); });
  return with_nats(cfg, [&](session s) { return in_store(s, i, retry); });
}

}  // namespace recordkv::cli
