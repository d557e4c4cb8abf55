#include "account_yield.hpp"

#include "recordkv/kv/account_keys.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/projection/configured_views.hpp"
#include "recordkv/view/account_rows.hpp"
#include "recordkv/view/store.hpp"

#include <fmt/ranges.h>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <chrono>
#include <optional>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto max_wait = 60s;
constexpr auto between_looks = 250ms;
constexpr std::string_view like = "app.bsky.feed.like";

// A view, and the newest key of the account that it reads; 0: it reads none.
struct wanted_view {
  view::plan plan;
  std::uint64_t seq = 0;
};

struct view_question {
  std::string database, did, partition;
  kv::store_meta store;
  std::vector<wanted_view> views;
};

using view_rows = std::vector<std::pair<std::string, std::uint64_t>>;

bool has_read(const view_question& q, const wanted_view& v) {
  if (v.seq == 0) return true;
  const auto there = view::read_builds(q.database, v.plan.name);
  if (!there || !there->live || there->live->hash != v.plan.hash()) return false;
  const auto& at = there->live->at;
  const auto it = at.seq.find(q.partition);
  return q.store.is_of(at.created) && at.generation == q.store.generation && it != at.seq.end() && it->second >= v.seq;
}

/// Blocking. nullopt: not all views have read all of it yet.
std::optional<view_rows> look(const view_question& q) {
  if (!std::ranges::all_of(q.views, [&](const auto& v) { return has_read(q, v); })) return std::nullopt;
  view_rows out;
  auto tables = view::find_account_rows(q.database, q.did);
  if (!tables) return std::nullopt;
  for (const auto& t : *tables)
    if (t.live && !t.rejects && t.found > 0) out.emplace_back(t.view, t.found);
  return out;
}

// Databases block, and the loop runs the stages. `q` outlives the call.
task<std::optional<view_rows>> look_on_thread(asio::thread_pool& pool, const view_question& q) {
  const auto home = co_await asio::this_coro::executor;
  auto there = asio::bind_executor(pool.get_executor(), asio::use_awaitable);
  co_await asio::post(std::move(there));
  auto found = look(q);
  auto back = asio::bind_executor(home, asio::use_awaitable);
  co_await asio::post(std::move(back));
  co_return found;
}

task<result<view_question>> question(session s, std::string did, std::string partition,
                                     const std::vector<kv::stored_key>& keys) {
  auto plans = projection::configured_views(s.cfg);
  if (!plans) co_return plans.error();
  auto store = co_await kv::read_meta(s.nc, s.names());
  if (!store) co_return store.error();
  view_question q{.database = s.cfg.database(),
                  .did = std::move(did),
                  .partition = std::move(partition),
                  .store = std::move(*store),
                  .views = {}};
  for (auto& p : *plans) {
    std::uint64_t newest = 0;
    for (const auto& k : keys)
      if (p.wants(k.collection)) newest = std::max(newest, k.seq);
    q.views.push_back({std::move(p), newest});
  }
  co_return q;
}

task<> add_rows(const view_question& q, interruption& stop, account_yield& into) {
  asio::thread_pool pool(1);
  const auto until = steady_clock::now() + max_wait;
  while (!stop.happened() && steady_clock::now() < until) {
    auto rows = co_await look_on_thread(pool, q);
    if (rows) {
      into.rows = std::move(*rows);
      co_return;
    }
    co_await stop.pause(between_looks);
  }
}

}  // namespace

task<result<account_yield>> yield_of(session s, std::string did, unsigned partitions,
                                     std::vector<std::string> collections, interruption& stop) {
  meters counters;
  auto go_on = [&stop] { return !stop.happened(); };
  auto keys = co_await kv::read_account_keys(s.nc, s.names(), s.facts.api_level, counters, did, partitions,
                                             std::move(collections), std::move(go_on));
  if (!keys) co_return keys.error();
  account_yield out{.records = keys->size(), .by_collection = {}, .rows = {}};
  for (const auto& k : *keys) ++out.by_collection[k.collection];
  const auto& stages = s.cfg.stages;
  if (std::ranges::find(stages, "index") == stages.end() || keys->empty()) co_return out;
  auto q = co_await question(s, did, kv::partition_of(did, partitions), *keys);
  if (!q) co_return q.error();
  co_await add_rows(*q, stop, out);
  if (stop.happened()) co_return fail(errc::closed, "stopped");
  co_return out;
}

std::string records_text(const account_yield& y) {
  std::vector<std::pair<std::uint64_t, std::string_view>> largest;
  largest.reserve(y.by_collection.size());
  for (const auto& [collection, n] : y.by_collection) largest.emplace_back(n, collection);
  std::ranges::sort(largest, std::greater{});
  std::string out = fmt::format("{} record{}", y.records, y.records == 1 ? "" : "s");
  for (std::size_t n = 0; n < largest.size(); ++n)
    out += fmt::format("{}{} {}", n == 0 ? ": " : ", ", largest[n].first, largest[n].second);
  return out;
}

std::string rows_text(const account_yield& y) {
  std::string out;
  for (const auto& [view, n] : y.rows) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", view, n);
  return out;
}

std::string command_to_try(const account_yield& y, std::string_view did) {
  const bool has_likes = std::ranges::any_of(y.rows, [](const auto& r) { return r.first == "likes"; });
  if (has_likes) return fmt::format("recordkv likes --by {} --limit 5", did);
  if (y.by_collection.contains(std::string(like))) return fmt::format("recordkv ls {} {}", did, like);
  return fmt::format("recordkv ls {}", did);
}

}  // namespace recordkv::cli
