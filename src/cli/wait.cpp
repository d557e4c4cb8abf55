#include "wait.hpp"

#include "output.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/kv/lease.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/projection/configured_views.hpp"
#include "recordkv/projection/view_source.hpp"
#include "recordkv/view/store.hpp"
#include "running_index.hpp"
#include "stores_there.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <map>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto stall_limit = 60s;  // without any movement of the view

/// The sequence that must be reached, by partition.
using goals = std::map<std::string, std::uint64_t>;

task<result<goals>> end_of_store(session s, const view::plan& p, unsigned partitions) {
  goals out;
  const projection::view_source from(p.rows_of, s.names(), partitions);
  for (const auto& label : kv::partition_labels(partitions))
    for (const auto& subject : from.subjects(p, {label})) {
      auto m = co_await nats::last_message(s.nc, from.stream(), subject);
      if (!m && m.error().code != errc::not_found) co_return m.error();
      if (m) out[label] = std::max(out[label], m->seq);
    }
  co_return out;
}

task<result<goals>> one_record(session s, const atproto::at_uri& u, unsigned partitions) {
  const auto key = kv::record_key::of(u.authority, u.collection, u.rkey, partitions);
  auto m = co_await nats::last_message(s.nc, s.names().store(), s.names().prefix() + key.text());
  if (!m && m.error().code == errc::not_found)
    co_return fail(errc::not_found, "at://{}/{}/{} is not in the store: there is nothing to wait for", u.authority,
                   u.collection, u.rkey);
  if (!m) co_return m.error();
  co_return goals{{key.partition, m->seq}};
}

bool reached(const view::position& at, const goals& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& g) {
    const auto it = at.seq.find(g.first);
    return it != at.seq.end() && it->second >= g.second;
  });
}

// If no process keeps the view, that is reported at once. The wait goes on for the time that a process needs that is
// just starting, or that takes over from a killed one.
class keeper_watch {
 public:
  keeper_watch(session s, std::string view) : s_(s), view_(std::move(view)) {}

  task<result<void>> look() {
    const auto now = steady_clock::now();
    if (now < next_) co_return result<void>{};
    next_ = now + 500ms;
    auto rows = co_await read_locks(s_.nc, s_.names());
    if (!rows) co_return rows.error();
    auto kept = is_kept(*rows, view_, s_.cfg.kv.partitions);
    if (kept) {
      unkept_since_.reset();
      co_return kept;
    }
    if (!unkept_since_) {
      unkept_since_ = now;
      write_error("recordkv: {}; waiting {} s for one\n", kept.error().text, grace.count());
    }
    if (now - *unkept_since_ > grace) co_return kept;
    co_return result<void>{};
  }

  bool kept() const { return !unkept_since_; }

 private:
  static constexpr auto grace = std::chrono::duration_cast<std::chrono::seconds>(kv::lease::period) + 1s;
  session s_;
  std::string view_;
  steady_clock::time_point next_;
  std::optional<steady_clock::time_point> unkept_since_;
};

task<> pause(steady_clock::duration d) {
  asio::steady_timer t(co_await asio::this_coro::executor, d);
  co_await t.async_wait(use_task);
}

/// Polls the database. The position moves in the transaction that writes the rows, so nothing can report it earlier.
task<result<void>> follow(session s, const view::plan& p, std::string database, const goals& wanted) {
  auto store = co_await kv::read_meta(s.nc, s.names());
  if (!store) co_return store.error();
  view::position last;
  keeper_watch keeper(s, p.name);
  const auto began = steady_clock::now();
  for (auto moved = began;;) {
    auto there = view::read_builds(database, p.name);
    if (!there && there.error().code != errc::not_found) co_return there.error();
    // Rows of an earlier definition do not count, however far they are.
    const bool current = there && there->live && there->live->hash == p.hash();
    const auto at = current ? there->live->at : view::position{};
    if (store->is_of(at.created) && at.generation == store->generation && reached(at, wanted)) co_return result<void>{};
    const auto next = there && there->next ? there->next->at : at;
    if (!(next == last)) moved = steady_clock::now();
    last = next;
    if (auto kept = co_await keeper.look(); !kept) co_return kept;
    if (steady_clock::now() - moved > stall_limit)
      co_return fail(
          errc::timed_out,
          "view {} has not moved for {} s; `recordkv status` says which process keeps it, and what holds it up", p.name,
          stall_limit.count());
    // Waits a twentieth of the time so far: each look opens the database, which a build may be using for minutes.
    co_await pause(std::clamp<steady_clock::duration>((steady_clock::now() - began) / 20, 10ms, 250ms));
  }
}

// A view that the command means, with its database.
struct meant {
  view::plan plan;
  std::string database;
};

task<result<std::vector<meant>>> find_meant(session s) {
  auto rows = co_await read_locks(s.nc, s.names());
  if (!rows) co_return rows.error();
  auto plans = meant_views(s.cfg, *rows);
  if (!plans) co_return plans.error();
  std::vector<meant> out;
  for (auto& p : *plans) {
    auto database = database_of(s.cfg, *rows, p.name);
    out.push_back({std::move(p), std::move(database)});
  }
  co_return out;
}

}  // namespace

task<result<void>> views_can_follow(session s, std::string collection) {
  auto views = co_await find_meant(s);
  if (!views) co_return views.error();
  for (const auto& [plan, database] : *views) {
    if (!plan.wants(collection)) continue;
    auto readable = view::read_builds(database, plan.name);
    if (!readable && readable.error().code != errc::not_found) co_return readable.error();
    keeper_watch keeper(s, plan.name);
    do {
      if (auto kept = co_await keeper.look(); !kept) co_return kept;
      if (!keeper.kept()) co_await pause(100ms);
    } while (!keeper.kept());
  }
  co_return result<void>{};
}

task<int> wait_for_views(session s, std::string uri, std::string view) {
  const auto u = atproto::parse_at_uri(uri);
  if (!uri.empty() && (!u || u->rkey.empty() || !atproto::is_did(u->authority)))
    co_return complain(fail(errc::bad_config, "\"{}\" is no record's AT-URI; write at://DID/COLLECTION/RKEY", uri));
  auto views = co_await find_meant(s);
  if (!views) co_return complain(views.error());
  std::erase_if(*views, [&](const auto& v) { return !view.empty() && v.plan.name != view; });
  if (views->empty() && !view.empty())
    co_return complain(fail(errc::bad_config, "there is no view \"{}\"; `recordkv view list` names them", view));
  if (auto there = co_await store_is_there(s); !there) co_return complain(there.error());
  auto meta = co_await kv::read_meta(s.nc, s.names());
  if (!meta) co_return complain(meta.error());
  // Determines all goals first: what is written from now on is not waited for.
  std::vector<std::pair<const meant*, goals>> todo;
  for (const auto& v : *views) {
    if (u && !v.plan.wants(u->collection)) continue;
    auto wanted = u ? co_await one_record(s, *u, meta->partitions) : co_await end_of_store(s, v.plan, meta->partitions);
    if (!wanted) co_return complain(wanted.error());
    todo.emplace_back(&v, std::move(*wanted));
  }
  for (const auto& [v, wanted] : todo)
    if (auto there = co_await follow(s, v->plan, v->database, wanted); !there) co_return complain(there.error());
  co_return done;
}

int wait(const invocation& i, const config& cfg) {
  return with_nats(cfg, [&](session s) { return wait_for_views(s, i.uri, i.view); });
}

}  // namespace recordkv::cli
