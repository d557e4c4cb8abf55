#include "status_facts.hpp"

#include "begun_accounts.hpp"
#include "lock_table.hpp"
#include "recordkv/kv/partition_set.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/nats/greeting.hpp"
#include "stages.hpp"

#include <boost/asio/steady_timer.hpp>

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::cli {
namespace json = boost::json;
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t countable_accounts = 2'000'000;

task<> pause(std::chrono::milliseconds d) {
  asio::steady_timer t(co_await asio::this_coro::executor, d);
  co_await t.async_wait(use_task);
}

// Accounts whose state carries the header `status`: what is desynchronised. nullopt: not known, or too many accounts to
// count here.
task<std::optional<std::uint64_t>> count_stale(session s) {
  auto repo = co_await nats::stream_info(s.nc, kv::store_names::stream_of(s.names().repo()));
  if (!repo && repo.error().code == errc::not_found) co_return 0;
  if (!repo || repo->messages > countable_accounts) co_return std::nullopt;
  meters counters;
  stages::account_set stale;
  auto count = [&](std::string_view encoded_did, const nats::message& m) {
    if (!m.header_value("status").empty()) stale.add(encoded_did);
  };
  auto read = co_await stages::read_states(s.nc, s.names(), s.facts.api_level, counters, count);
  if (!read) co_return std::nullopt;
  co_return stale.size();
}

// A consumer that should be moving and is not says so even when its process can't.
task<json::object> consumer_facts(session s, std::string stream, std::string name) {
  auto info = co_await nats::api(s.nc, fmt::format("CONSUMER.INFO.{}.{}", stream, name));
  if (!info) co_return json::object{};
  json::object o;
  for (const char* key : {"num_pending", "num_ack_pending"})
    if (const auto* v = info->if_contains(key)) o[key] = *v;
  co_return o;
}

task<result<json::object>> store_facts(session s) {
  json::object o;
  const auto stream = s.names().store();
  auto first = co_await nats::stream_info(s.nc, stream);
  if (!first && first.error().code == errc::not_found) co_return o;
  if (!first) co_return first.error();
  co_await pause(1s);
  auto second = co_await nats::stream_info(s.nc, stream);
  if (!second) co_return second.error();
  const auto grew = static_cast<std::int64_t>(second->messages - first->messages);
  o["bucket"] = s.cfg.kv.bucket;
  o["keys"] = second->messages;
  o["bytes"] = second->bytes;
  o["writes_per_second"] = second->last_seq - first->last_seq;
  o["keys_per_second"] = grew;
  const auto keys = first->messages;
  if (grew > 0 && keys < advisable_keys)
    o["hours_to_advisable_size"] = static_cast<double>(advisable_keys - keys) / static_cast<double>(grew) / 3600.0;
  if (keys >= advisable_keys) o["past_advisable_size"] = true;
  co_return o;
}

task<result<json::array>> stage_facts(session s) {
  auto locks = co_await read_locks(s.nc, s.names());
  if (!locks) co_return locks.error();
  json::array stages;
  for (auto& l : *locks) {
    json::object row = l.report;
    row["key"] = l.key;
    row["pid"] = l.pid;
    row["renewed"] = l.renewed;
    if (!l.live) row["state"] = "gone";
    const bool view = l.key.starts_with("view-");
    if (view || l.key == "kv" || l.key.starts_with("kv-"))
      row["consumer"] = co_await consumer_facts(s, view ? s.names().store() : s.names().buffer(), l.key);
    stages.push_back(std::move(row));
  }
  co_return stages;
}

// The partitions of `base` ("kv", "view-likes") that no live process takes.
std::vector<std::string> untaken(const std::string& base, const json::array& rows, unsigned partitions) {
  auto left = kv::partition_labels(partitions);
  for (const auto& row : rows) {
    if (text_of(row.as_object(), "state") == "gone") continue;
    const auto share = kv::partition_set::of_name(text_of(row.as_object(), "key"), base, partitions);
    if (share)
      std::erase_if(left,
                    [&](const auto& l) { return std::ranges::find(share->labels(), l) != share->labels().end(); });
  }
  return left;
}

// What this configuration names and nobody runs is what most silences come from: a stage, a view, or some partitions.
json::array missing_parts(const config& cfg, const json::array& rows) {
  std::vector<std::string> bases;
  for (const auto& stage : cfg.stages) {
    const auto plans = stage == "index" ? stages::configured_views(cfg) : std::vector<view::plan>{};
    if (stage != "index") bases.push_back(stage);
    if (plans)
      for (const auto& p : *plans) bases.push_back("view-" + p.name);
  }
  json::array out;
  for (const auto& base : bases) {
    const auto left = untaken(base, rows, cfg.kv.partitions);
    if (left.size() == cfg.kv.partitions)
      out.emplace_back(base);
    else if (!left.empty())
      out.emplace_back(fmt::format("{} partitions {}", base, fmt::join(left, ",")));
  }
  return out;
}

}  // namespace

task<result<json::object>> system_facts(session s, depth how_deep) {
  json::object all;
  all["nats"] = json::object{{"url", nats::without_secrets(s.cfg.nats.url)}, {"server_id", s.nc.server_id()}};
  if (how_deep != depth::stages) {
    auto store = co_await store_facts(s);
    if (!store) co_return store.error();
    all["store"] = std::move(*store);
  }
  if (auto ingest = co_await nats::stream_info(s.nc, s.names().buffer())) {
    all["buffer"] =
        json::object{{"messages", ingest->messages}, {"bytes", ingest->bytes}, {"max_messages", s.cfg.ingest.max_msgs}};
    if (ingest->messages >= static_cast<std::uint64_t>(s.cfg.ingest.max_msgs)) all["buffer"].as_object()["full"] = true;
  }
  if (how_deep == depth::accounts) {
    const auto stale = co_await count_stale(s);
    all["accounts_maybe_stale"] = stale ? json::value(*stale) : json::value(nullptr);
  }
  auto rows = co_await stage_facts(s);
  if (!rows) co_return rows.error();
  all["missing"] = missing_parts(s.cfg, *rows);
  all["stages"] = std::move(*rows);
  co_return all;
}

std::string text_of(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (!v) return "";
  if (v->is_double()) return fmt::format("{:.3g}", v->get_double());
  return v->is_string() ? std::string(v->get_string()) : json::serialize(*v);
}

// A key that its owner left behind counts as missing only where nobody has taken what it stood for.
bool all_well(const json::object& all, const config& cfg) {
  for (const auto& row : all.at("stages").as_array()) {
    const auto stage = text_of(row.as_object(), "stage");
    const auto state = text_of(row.as_object(), "state");
    const bool ours = std::find(cfg.stages.begin(), cfg.stages.end(), stage) != cfg.stages.end();
    if (ours && state != "running" && state != "gone") return false;
  }
  return all.at("missing").as_array().empty();
}

}  // namespace recordkv::cli
