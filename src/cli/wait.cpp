#include "wait.hpp"

#include "recordkv/atproto/syntax.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/view/store.hpp"
#include "stages.hpp"
#include "view_changes.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <map>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto patience = 60s;  // without any movement of the view

/// What must be folded in, by partition.
using goals = std::map<std::string, std::uint64_t>;

task<result<goals>> end_of_store(session s, const view::plan& p, unsigned partitions) {
  goals out;
  for (const auto& label : kv::partition_labels(partitions))
    for (const auto& subject : stages::subjects_of(p, s.names().prefix(), {label})) {
      auto m = co_await nats::last_message(s.nc, s.names().store(), subject);
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

/// Polls the database: the position moves in the transaction that writes the rows, so nothing tells it earlier.
task<result<void>> follow(session s, const view::plan& p, const goals& wanted) {
  auto store = co_await kv::read_meta(s.nc, s.names());
  if (!store) co_return store.error();
  view::position last;
  const auto began = steady_clock::now();
  for (auto moved = began;;) {
    auto there = view::read_builds(s.cfg.database(), p.name);
    if (!there && there.error().code != errc::not_found) co_return there.error();
    // Rows of an earlier definition are not what is waited for, however far they are.
    const bool ours = there && there->live && there->live->hash == p.hash();
    const auto at = ours ? there->live->at : view::position{};
    if (at.created == store->created && at.generation == store->generation && reached(at, wanted))
      co_return result<void>{};
    const auto next = there && there->next ? there->next->at : at;
    if (!(next == last)) moved = steady_clock::now();
    last = next;
    if (steady_clock::now() - moved > patience)
      co_return fail(errc::timed_out,
                     "view {} has not moved for {} s; `recordkv status` says who keeps it, and what holds it up",
                     p.name, patience.count());
    // A twentieth of what was waited already: each look opens the database, beside a build that may take minutes.
    const auto rest = std::clamp<steady_clock::duration>((steady_clock::now() - began) / 20, 10ms, 250ms);
    asio::steady_timer pause(co_await asio::this_coro::executor, rest);
    co_await pause.async_wait(use_task);
  }
}

}  // namespace

task<int> wait_for_views(session s, std::string uri, std::string view) {
  auto plans = stages::configured_views(s.cfg);
  if (!plans) co_return complain(plans.error());
  const auto u = atproto::parse_at_uri(uri);
  if (!uri.empty() && (!u || u->rkey.empty() || !atproto::is_did(u->authority)))
    co_return complain(fail(errc::bad_config, "\"{}\" is no record's AT-URI; write at://DID/COLLECTION/RKEY", uri));
  std::erase_if(*plans, [&](const auto& p) { return !view.empty() && p.name != view; });
  if (plans->empty() && !view.empty())
    co_return complain(fail(errc::bad_config, "there is no view \"{}\"; `recordkv view list` names them", view));
  auto meta = co_await kv::read_meta(s.nc, s.names());
  if (!meta) co_return complain(meta.error());
  // All goals first: what is written from now on is not waited for.
  std::vector<std::pair<const view::plan*, goals>> todo;
  for (const auto& p : *plans) {
    if (u && !p.wants(u->collection)) continue;
    auto wanted = u ? co_await one_record(s, *u, meta->partitions) : co_await end_of_store(s, p, meta->partitions);
    if (!wanted) co_return complain(wanted.error());
    todo.emplace_back(&p, std::move(*wanted));
  }
  for (const auto& [p, wanted] : todo)
    if (auto there = co_await follow(s, *p, wanted); !there) co_return complain(there.error());
  co_return done;
}

int wait(const invocation& i, const config& cfg) {
  return with_nats(cfg, [&](session s) { return wait_for_views(s, i.uri, i.view); });
}

}  // namespace recordkv::cli
