#include "status_facts.hpp"

#include "lock_table.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/greeting.hpp"
#include "recordkv/nats/pull_consumer.hpp"

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

// Accounts whose state carries the header `status`: what is desynchronised. nullopt: too many accounts to count here.
task<std::optional<std::uint64_t>> count_stale(session s) {
  auto repo = co_await nats::stream_info(s.nc, "KV_repo");
  if (!repo) co_return 0;
  if (repo->messages > countable_accounts) co_return std::nullopt;
  nats::consumer_spec spec{
      .stream = "KV_repo", .policy = nats::acks::none, .headers_only = true, .once = true, .credit = 8192};
  meters counters;
  nats::pull_consumer states(s.nc, std::move(spec), counters, s.facts.api_level);
  if (auto attached = co_await states.attach(); !attached) co_return 0;
  std::uint64_t stale = 0;
  while (states.pending() > 0) {
    auto batch = co_await states.next();
    if (!batch) break;
    for (const auto& m : *batch) stale += m.header_value("status").empty() ? 0 : 1;
  }
  co_return stale;
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

task<json::object> store_facts(session s) {
  json::object o;
  const auto stream = "KV_" + s.cfg.kv.bucket;
  auto first = co_await nats::stream_info(s.nc, stream);
  if (!first) co_return o;
  co_await pause(1s);
  auto second = co_await nats::stream_info(s.nc, stream);
  const auto grew = second ? static_cast<std::int64_t>(second->messages - first->messages) : 0;
  o["bucket"] = s.cfg.kv.bucket;
  o["keys"] = second ? second->messages : first->messages;
  o["bytes"] = second ? second->bytes : first->bytes;
  o["writes_per_second"] = second ? second->last_seq - first->last_seq : 0;
  o["keys_per_second"] = grew;
  const auto keys = first->messages;
  if (grew > 0 && keys < advisable_keys)
    o["hours_to_advisable_size"] = static_cast<double>(advisable_keys - keys) / static_cast<double>(grew) / 3600.0;
  if (keys >= advisable_keys) o["past_advisable_size"] = true;
  co_return o;
}

// A stage that this configuration names and nobody runs is what most silences come from.
json::array missing_stages(const config& cfg, const json::array& running) {
  json::array out;
  for (const auto& wanted : cfg.stages) {
    const auto runs = [&](const json::value& row) {
      return text_of(row.as_object(), "stage") == wanted && text_of(row.as_object(), "state") != "gone";
    };
    if (std::none_of(running.begin(), running.end(), runs)) out.emplace_back(wanted);
  }
  return out;
}

}  // namespace

task<json::object> system_facts(session s) {
  json::object all;
  all["nats"] = json::object{{"url", nats::without_secrets(s.cfg.nats.url)}, {"server_id", s.nc.server_id()}};
  all["store"] = co_await store_facts(s);
  if (auto ingest = co_await nats::stream_info(s.nc, "ingest")) {
    all["buffer"] =
        json::object{{"messages", ingest->messages}, {"bytes", ingest->bytes}, {"max_messages", s.cfg.ingest.max_msgs}};
    if (ingest->messages >= static_cast<std::uint64_t>(s.cfg.ingest.max_msgs)) all["buffer"].as_object()["full"] = true;
  }
  auto stale = co_await count_stale(s);
  if (stale)
    all["accounts_maybe_stale"] = *stale;
  else
    all["accounts_maybe_stale"] = nullptr;
  json::array stages;
  auto locks = co_await read_locks(s.nc);
  if (locks)
    for (auto& l : *locks) {
      json::object row = l.report;
      row["key"] = l.key;
      row["pid"] = l.pid;
      row["renewed"] = l.renewed;
      if (!l.live) row["state"] = "gone";
      const bool view = l.key.starts_with("view-");
      if (view || l.key == "kv" || l.key.starts_with("kv-"))
        row["consumer"] = co_await consumer_facts(s, view ? "KV_" + s.cfg.kv.bucket : "ingest", l.key);
      stages.push_back(std::move(row));
    }
  all["missing"] = missing_stages(s.cfg, stages);
  all["stages"] = std::move(stages);
  co_return all;
}

std::string text_of(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (!v) return "";
  if (v->is_double()) return fmt::format("{:.3g}", v->get_double());
  return v->is_string() ? std::string(v->get_string()) : json::serialize(*v);
}

bool all_well(const json::object& all, const config& cfg) {
  for (const auto& row : all.at("stages").as_array()) {
    const auto stage = text_of(row.as_object(), "stage");
    const bool ours = std::find(cfg.stages.begin(), cfg.stages.end(), stage) != cfg.stages.end();
    if (ours && text_of(row.as_object(), "state") != "running") return false;
  }
  return all.at("missing").as_array().empty();
}

}  // namespace recordkv::cli
