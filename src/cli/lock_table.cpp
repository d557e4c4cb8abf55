#include "lock_table.hpp"

#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/owner.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <ctime>

namespace recordkv::cli {
namespace {

std::string text(const boost::json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v && v->is_string() ? std::string(v->get_string()) : "";
}

// Seconds since `stamp`, as owner::timestamp_now() writes it; a stamp that does not parse is very old.
double age_of(const std::string& stamp) {
  std::tm t{};
  if (!strptime(stamp.c_str(), "%Y-%m-%dT%H:%M:%S", &t)) return 1e9;
  return std::difftime(std::time(nullptr), timegm(&t));
}

}  // namespace

task<result<std::vector<lock_row>>> read_locks(nats::connection& nc) {
  kv::bucket lock(nc, "lock");
  auto info = co_await nats::api(nc, "STREAM.INFO." + lock.stream(), R"({"subjects_filter":"$KV.lock.>"})");
  std::vector<lock_row> rows;
  if (!info && info.error().code == errc::not_found) co_return rows;
  if (!info) co_return info.error();
  const auto* state = info->if_contains("state");
  const auto* subjects = state && state->is_object() ? state->get_object().if_contains("subjects") : nullptr;
  if (!subjects || !subjects->is_object()) co_return rows;
  for (const auto& [subject, count] : subjects->get_object()) {
    const std::string key(subject.substr(std::string_view("$KV.lock.").size()));
    auto found = co_await lock.get(key);
    if (!found || found->deleted) continue;
    boost::system::error_code ec;
    auto v = boost::json::parse(found->value, ec);
    if (ec || !v.is_object()) continue;
    auto& o = v.get_object();
    lock_row row{.key = key, .renewed = text(o, "renewed")};
    if (const auto* pid = o.if_contains("pid"); pid && pid->is_int64()) row.pid = static_cast<int>(pid->get_int64());
    if (auto* r = o.if_contains("report"); r && r->is_object()) row.report = std::move(r->get_object());
    row.live = age_of(row.renewed) <= static_cast<double>(kv::owner::lease.count());
    rows.push_back(std::move(row));
  }
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  co_return rows;
}

task<std::vector<std::string>> consumer_names(nats::connection& nc, std::string stream) {
  std::vector<std::string> out;
  auto listed = co_await nats::api(nc, "CONSUMER.NAMES." + stream);
  if (!listed) co_return out;
  if (const auto* names = listed->if_contains("consumers"); names && names->is_array())
    for (const auto& n : names->get_array())
      if (n.is_string()) out.emplace_back(n.get_string());
  co_return out;
}

}  // namespace recordkv::cli
