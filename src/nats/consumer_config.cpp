#include "consumer_config.hpp"

#include "recordkv/core/json_fields.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <chrono>
#include <map>

namespace recordkv::nats {
namespace json = boost::json;
namespace {

constexpr std::string_view seal_key = "recordkv";

template <class Duration>
std::int64_t ns(Duration d) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}

std::string filters_text(const json::object& config) {
  if (const auto one = text_field(config, "filter_subject"); !one.empty()) return std::string(one);
  if (const auto* many = array_field(config, "filter_subjects")) {
    std::vector<std::string> all;
    for (const auto& f : *many) all.push_back(json::serialize(f));
    std::ranges::sort(all);
    return all.empty() ? "" : fmt::format("[{}]", fmt::join(all, ","));
  }
  return "";
}

constexpr std::string_view not_compared[] = {"name",           "durable_name",  "description",    "metadata",
                                             "deliver_policy", "opt_start_seq", "opt_start_time", "num_replicas",
                                             "mem_storage",    "pause_until",   "sample_freq",    "inactive_threshold",
                                             "filter_subject", "max_waiting",   "replay_policy"};

// A value that a server omits or fills in if the setting was not given.
bool is_unset(std::string_view key, const json::value& v) {
  if (key == "max_deliver" || key == "max_ack_pending" || key == "ack_wait")
    if (v.is_int64() && v.get_int64() < 0) return true;
  return v.is_null() || (v.is_bool() && !v.get_bool()) || (v.is_int64() && v.get_int64() == 0) ||
         (v.is_string() && v.get_string().empty()) || (v.is_array() && v.get_array().empty()) ||
         (v.is_object() && v.get_object().empty());
}

/// Each setting that has a value, as text.
std::map<std::string, std::string, std::less<>> settings_of(const json::object& config) {
  std::map<std::string, std::string, std::less<>> out;
  const bool unacknowledged = text_field(config, "ack_policy") == "none";
  for (const auto& [key, value] : config) {
    if (std::ranges::find(not_compared, std::string_view(key)) != std::end(not_compared)) continue;
    if (key == "filter_subjects" || is_unset(key, value)) continue;
    if (unacknowledged && (key == "ack_wait" || key == "max_ack_pending")) continue;
    out[std::string(key)] = value.is_string() ? std::string(value.get_string()) : json::serialize(value);
  }
  if (auto filters = filters_text(config); !filters.empty()) out["filter"] = std::move(filters);
  return out;
}

// FNV-1a: forgery is no concern, but the hash must be the same in every version and on every machine.
std::string hash_of(const json::object& config) {
  std::uint64_t h = 0xcbf29ce484222325;
  const auto take = [&h](std::string_view s) {
    for (const unsigned char c : s) h = (h ^ c) * 0x100000001b3;
    h = (h ^ 0xff) * 0x100000001b3;
  };
  for (const auto& [key, value] : settings_of(config)) {
    take(key);
    take(value);
  }
  return fmt::format("{:016x}", h);
}

}  // namespace

json::object config_of(const consumer_spec& s, std::uint64_t start) {
  json::object c;
  if (!s.durable.empty())
    c["durable_name"] = s.durable;
  else
    c["inactive_threshold"] = ns(std::chrono::minutes(5));
  static constexpr std::string_view policies[] = {"none", "all", "explicit"};
  c["ack_policy"] = policies[static_cast<int>(s.policy)];
  if (start > 1) {
    c["deliver_policy"] = "by_start_sequence";
    c["opt_start_seq"] = start;
  } else {
    c["deliver_policy"] = s.last_per_subject ? "last_per_subject" : "all";
  }
  if (s.filters.size() == 1)
    c["filter_subject"] = s.filters.front();
  else if (!s.filters.empty())
    c["filter_subjects"] = json::value_from(s.filters);
  if (s.policy != acks::none) {
    c["ack_wait"] = ns(std::chrono::minutes(10));  // never relied on: a rewind comes first (X6)
    c["max_ack_pending"] = 100'000;
  }
  if (s.headers_only) c["headers_only"] = true;
  c["max_waiting"] = 64;
  if (!s.durable.empty()) c["metadata"] = json::object{{seal_key, hash_of(c)}};
  return c;
}

std::vector<std::string> differences(const json::object& want, const json::object& have) {
  std::vector<std::string> out;
  auto wanted = settings_of(want), there = settings_of(have);
  for (const auto& [key, value] : wanted) there.try_emplace(key, "");
  for (const auto& [key, h] : there) {
    const auto& w = wanted[key];
    if (w != h) out.push_back(fmt::format("{} is \"{}\", must be \"{}\"", key, h, w));
  }
  return out;
}

seal seal_of(const json::object& have) {
  const auto* all = object_field(have, "metadata");
  const auto said = all != nullptr ? text_field(*all, seal_key) : std::string_view{};
  if (said.empty()) return seal::none;
  return said == hash_of(have) ? seal::intact : seal::broken;
}

}  // namespace recordkv::nats
