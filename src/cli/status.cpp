// `status`: how the whole system is, from any machine that reaches NATS.
#include "commands.hpp"

#include "lock_table.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/greeting.hpp"
#include "recordkv/nats/pull_consumer.hpp"

#include <unistd.h>
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>

#include <cstdio>

namespace recordkv::cli {
namespace json = boost::json;
namespace {

using namespace std::chrono_literals;

// A store of one stream is right to about so many keys; beyond, restarts take minutes (docs/capacity: nats-facts 4.1).
constexpr std::uint64_t advisable_keys = 10'000'000;
constexpr std::uint64_t countable_accounts = 2'000'000;

std::string text(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (!v) return "";
  return v->is_string() ? std::string(v->get_string()) : json::serialize(*v);
}

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

task<json::object> collect(session s) {
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
      if (l.key == "kv" || view)
        row["consumer"] = co_await consumer_facts(s, view ? "KV_" + s.cfg.kv.bucket : "ingest", l.key);
      stages.push_back(std::move(row));
    }
  all["stages"] = std::move(stages);
  co_return all;
}

std::string describe_stage(const json::object& o) {
  const auto state = text(o, "state");
  std::string line = fmt::format("{:<12} ", text(o, "key"));
  if (state == "gone") return line + fmt::format("NOT RUNNING, last seen {}", text(o, "renewed"));
  if (state == "stalled")
    line += fmt::format("STALLED since {}: {}", text(o, "stalled_since"), text(o, "reason"));
  else
    line += "running";
  line += fmt::format(" (process {})", text(o, "pid"));
  for (const char* key :
       {"source", "cursor", "frames", "buffered", "pending", "unsettled", "written", "deleted", "position", "folded"})
    if (o.contains(key)) line += fmt::format("  {} {}", key, text(o, key));
  if (const auto* counted = o.if_contains("counted");
      counted && counted->is_object() && !counted->get_object().empty()) {
    line += "\n             ";
    for (const auto& [what, n] : counted->get_object())
      line += fmt::format(" {}: {} ", std::string_view(what), json::serialize(n));
  }
  return line;
}

void print_text(const json::object& all) {
  const auto& nats = all.at("nats").as_object();
  fmt::print("nats         {} (server {})\n", text(nats, "url"), text(nats, "server_id"));
  const auto& store = all.at("store").as_object();
  if (store.empty())
    fmt::print("store        there is none yet\n");
  else {
    fmt::print("store        bucket {}: {} keys, {:.1f} MB, {} writes/s, {} new keys/s", text(store, "bucket"),
               text(store, "keys"), static_cast<double>(store.at("bytes").to_number<std::int64_t>()) / 1e6,
               text(store, "writes_per_second"), text(store, "keys_per_second"));
    if (store.contains("hours_to_advisable_size"))
      fmt::print(", {:.1f} h to the advisable {} keys", store.at("hours_to_advisable_size").as_double(),
                 advisable_keys);
    if (store.contains("past_advisable_size")) fmt::print(", PAST the advisable {} keys", advisable_keys);
    fmt::print("\n");
  }
  if (const auto* b = all.if_contains("buffer"))
    fmt::print("buffer       stream ingest: {} of {} messages{}\n", text(b->as_object(), "messages"),
               text(b->as_object(), "max_messages"),
               b->as_object().contains("full") ? ", FULL: the kv stage is not keeping up" : "");
  for (const auto& row : all.at("stages").as_array()) fmt::print("{}\n", describe_stage(row.as_object()));
  if (all.at("stages").as_array().empty()) fmt::print("stages       none is running\n");
  const auto& stale = all.at("accounts_maybe_stale");
  fmt::print("accounts     {} may be stale\n",
             stale.is_null() ? "not counted (over 2 million)" : json::serialize(stale));
}

bool all_well(const json::object& all) {
  for (const auto& row : all.at("stages").as_array())
    if (text(row.as_object(), "state") != "running") return false;
  return !all.at("stages").as_array().empty();
}

task<int> show(session s, invocation i) {
  for (;;) {
    auto all = co_await collect(s);
    if (i.watch && isatty(STDOUT_FILENO) != 0) fmt::print("\x1b[H\x1b[2J");
    if (i.json)
      fmt::print("{}\n", json::serialize(all));
    else
      print_text(all);
    std::fflush(stdout);
    if (!i.watch) co_return all_well(all) ? done : no;
    co_await pause(1s);
  }
}

}  // namespace

int status(const invocation& i, const config& cfg) {
  return with_nats(cfg, [&](session s) { return show(s, i); });
}

}  // namespace recordkv::cli
