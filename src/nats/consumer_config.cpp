#include "consumer_config.hpp"

#include <boost/json.hpp>

#include <chrono>

namespace recordkv::nats {
namespace json = boost::json;
namespace {

template <class Duration>
std::int64_t ns(Duration d) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}

std::string string_at(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v && v->is_string() ? std::string(v->get_string()) : "";
}

std::string filters_text(const json::object& config) {
  if (const auto* one = config.if_contains("filter_subject"); one && one->is_string() && !one->get_string().empty())
    return std::string(one->get_string());
  if (const auto* many = config.if_contains("filter_subjects"); many && many->is_array()) return json::serialize(*many);
  return "";
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
  return c;
}

std::vector<std::string> differences(const json::object& want, const json::object& have) {
  std::vector<std::string> out;
  const auto differ = [&](std::string_view what, const std::string& w, const std::string& h) {
    if (w != h) out.push_back(fmt::format("{} is \"{}\", must be \"{}\"", what, h, w));
  };
  differ("ack_policy", string_at(want, "ack_policy"), string_at(have, "ack_policy"));
  differ("filter", filters_text(want), filters_text(have));
  differ("deliver_subject", "", string_at(have, "deliver_subject"));
  return out;
}

}  // namespace recordkv::nats
