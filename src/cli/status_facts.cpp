#include "status_facts.hpp"

#include "account_facts.hpp"
#include "lock_table.hpp"
#include "readiness.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/partition_set.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/source_gaps.hpp"
#include "recordkv/nats/greeting.hpp"
#include "recordkv/projection/configured_views.hpp"
#include "stores_there.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <iterator>
#include <map>
#include <ranges>
#include <set>

namespace recordkv::cli {
namespace json = boost::json;
namespace {

// The consumer's own numbers show a stall even if its process cannot report it.
task<json::object> consumer_facts(session s, std::string stream, std::string name) {
  auto info = co_await nats::api(s.nc, fmt::format("CONSUMER.INFO.{}.{}", stream, name));
  if (!info) co_return json::object{};
  json::object o;
  for (const char* key : {"num_pending", "num_ack_pending"})
    if (const auto* v = info->if_contains(key)) o[key] = *v;
  co_return o;
}

// The kv stage measures the store's growth while it runs. A command that has just started would have to wait for a
// rate.
void add_rates(json::object& store, const json::array& stages) {
  for (const auto& row : stages) {
    const auto& o = row.as_object();
    if (text_of(o, "stage") != "kv" || text_of(o, "state") == "gone" || !o.contains("keys_per_second")) continue;
    store["writes_per_second"] = o.at("writes_per_second");
    const auto grows = o.at("keys_per_second").to_number<double>();
    store["keys_per_second"] = o.at("keys_per_second");
    const auto keys = store.at("keys").to_number<double>();
    if (grows > 0 && keys < advisable_keys) store["hours_to_advisable_size"] = (advisable_keys - keys) / grows / 3600.0;
    return;
  }
}

task<result<json::object>> store_facts(session s) {
  json::object o;
  auto now = co_await nats::stream_info(s.nc, s.names().store());
  if (!now && now.error().code == errc::not_found) {
    auto others = co_await record_buckets(s.nc);
    if (others && !others->empty()) {
      o["missing"] = s.cfg.kv.bucket;
      o["buckets"] = json::value_from(*others);
    }
    co_return o;
  }
  if (!now) co_return now.error();
  o["bucket"] = s.cfg.kv.bucket;
  o["keys"] = now->messages;
  o["bytes"] = now->bytes;
  if (now->messages >= advisable_keys) o["past_advisable_size"] = true;
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
    // A view's report names its stream. One of an earlier version does not, and reads the store.
    auto stream = text_of(l.report, "stream");
    if (stream.empty() && l.key.starts_with("view-")) stream = s.names().store();
    if (l.key == "kv" || l.key.starts_with("kv-")) stream = s.names().buffer();
    if (!stream.empty()) row["consumer"] = co_await consumer_facts(s, std::move(stream), l.key);
    stages.push_back(std::move(row));
  }
  co_return stages;
}

// The partitions of `base` ("kv", "view-likes") that no live process takes.
std::vector<std::string> untaken(const std::string& base, const json::array& rows, unsigned partitions) {
  auto left = kv::partition_labels(partitions);
  for (const auto& row : rows) {
    if (text_of(row.as_object(), "state") == "gone") continue;
    const auto assigned = kv::partition_set::of_name(text_of(row.as_object(), "key"), base, partitions);
    if (assigned)
      std::erase_if(
          left, [&](const auto& l) { return std::ranges::find(assigned->labels(), l) != assigned->labels().end(); });
  }
  return left;
}

/// The leases of the views that should be kept: those of index.views; if that is not set, those that were kept.
std::vector<std::string> view_bases(const config& cfg, const json::array& rows) {
  std::set<std::string> out;
  if (cfg.index.views_asked_for) {
    if (const auto plans = projection::configured_views(cfg))
      for (const auto& p : *plans) out.insert("view-" + p.name);
    return {out.begin(), out.end()};
  }
  for (const auto& row : rows)
    if (const auto view = text_of(row.as_object(), "view"); !view.empty()) out.insert("view-" + view);
  if (out.empty()) out.insert("index");
  return {out.begin(), out.end()};
}

// What this configuration names and no process runs: a stage, a view, or some partitions. It is the most frequent
// cause of a silent system.
json::array missing_parts(const config& cfg, const json::array& rows) {
  std::vector<std::string> bases;
  for (const auto& stage : cfg.stages) {
    if (stage != "index") bases.push_back(stage);
    if (stage == "index") std::ranges::copy(view_bases(cfg, rows), std::back_inserter(bases));
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

// Warnings of live stages, for a person. Stages that share a database give one warning.
json::array warnings_of(const json::array& rows) {
  json::array out;
  for (const auto& row : rows) {
    const auto said = text_of(row.as_object(), "warning");
    if (said.empty() || text_of(row.as_object(), "state") == "gone") continue;
    if (std::ranges::find(out, json::value(said)) == out.end()) out.emplace_back(said);
  }
  return out;
}

// What sources may have lost. It is read even if no ingest runs.
task<json::array> gap_facts(session s) {
  json::array out;
  kv::bucket cursors(s.nc, s.names().cursor());
  auto keys = co_await cursors.keys();
  if (!keys) co_return out;
  for (const auto& key : *keys) {
    if (!key.starts_with(kv::source_gaps::prefix)) continue;
    auto found = co_await cursors.get(key);
    if (!found || found->deleted) continue;
    for (const auto& g : kv::source_gaps::parse(found->value))
      out.push_back(json::object{{"source", key.substr(kv::source_gaps::prefix.size())},
                                 {"bucket", s.names().cursor()},
                                 {"key", key},
                                 {"from", g.from.empty() ? json::value(nullptr) : json::value(g.from)},
                                 {"to", g.to.empty() ? json::value(nullptr) : json::value(g.to)},
                                 {"cause", g.cause},
                                 {"seconds", g.seconds()}});
  }
  co_return out;
}

}  // namespace

task<result<json::object>> system_facts(session s, depth how_deep) {
  json::object all;
  all["nats"] = json::object{{"url", nats::without_secrets(s.cfg.nats.url)}, {"server_id", s.nc.server_id()}};
  if (!s.facts.domain.empty()) all["nats"].as_object()["domain"] = s.facts.domain;
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
  if (how_deep != depth::stages) all["gaps"] = co_await gap_facts(s);
  auto rows = co_await stage_facts(s);
  if (!rows) co_return rows.error();
  if (untaken("kv", *rows, s.cfg.kv.partitions).empty())
    if (auto reported = reported_accounts(*rows); !reported.empty()) all["accounts"] = std::move(reported);
  if (how_deep == depth::accounts) co_await add_stale_accounts(s, all);
  if (auto* store = all.if_contains("store"); store && store->as_object().contains("keys"))
    add_rates(store->as_object(), *rows);
  all["missing"] = missing_parts(s.cfg, *rows);
  all["warnings"] = warnings_of(*rows);
  all["stages"] = std::move(*rows);
  json::array reasons;
  for (const auto& why : reasons_not_well(all, s.cfg)) reasons.emplace_back(why);
  all["not_ready"] = std::move(reasons);
  co_return all;
}

std::string text_of(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (!v) return "";
  if (v->is_double()) return fmt::format("{:.3g}", v->get_double());
  return v->is_string() ? std::string(v->get_string()) : json::serialize(*v);
}

// A key that a dead holder left behind counts as missing only if no other process has taken over its work.
std::vector<std::string> reasons_not_well(const json::object& all, const config& cfg) {
  std::vector<std::string> out;
  for (const auto& row : all.at("stages").as_array()) {
    const auto stage = text_of(row.as_object(), "stage");
    const bool configured = std::find(cfg.stages.begin(), cfg.stages.end(), stage) != cfg.stages.end();
    if (!configured || text_of(row.as_object(), "state") == "gone") continue;
    if (auto why = reason_not_ready(condition_of(row.as_object()), cfg.http.max_lag); !why.empty())
      out.push_back(std::move(why));
  }
  for (const auto& name : all.at("missing").as_array())
    out.push_back(std::string(name.as_string()) + ": no process runs this");
  return out;
}

bool all_well(const json::object& all, const config& cfg) { return reasons_not_well(all, cfg).empty(); }

}  // namespace recordkv::cli
