#include "event_rules.hpp"

#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::stages {
std::string host_of(const event_handle& from) {
  const auto source = from.header("source");
  const auto dot = source.find('.');
  if (dot == source.npos) return "unknown";
  auto host = kv::decode_part(source.substr(dot + 1)).substr(0, 128);
  std::ranges::replace_if(host, [](char c) { return c <= 0x20 || c > 0x7E || c == '"' || c == '\\'; }, '?');
  return host;
}

bool of_firehose(const kv_event& e) { return e.framed || e.from.header("source").starts_with("firehose."); }

bool came_late(const event_handle& from) { return !from.header("late").empty(); }

bool lost_by_lateness(const account& a, const kv_event& e) {
  return !e.what.proofless && e.what.rev < a.newest.begun && came_late(e.from);
}

bool is_repetition(const account& a, const atproto::repo_event& e) {
  return e.proofless ? e.rev < a.newest.rev : e.rev <= a.newest.rev;
}

std::string_view broken_chain(const account& a, const atproto::repo_event& e) {
  if (a.newest.data.empty() || e.proofless || e.prev_data == a.newest.data) return {};
  return e.proof && !e.proof->has_prev_data ? "no_prev_data" : "gap";
}

bool inactive(const kv::repo_state& s) {
  const auto& status = s.upstream_status;
  return !status.empty() && status != "desynchronized" && status != "throttled";
}

bool marked(const kv::repo_state& s, std::string_view reason) {
  return std::ranges::find(s.reasons, reason) != s.reasons.end();
}

}  // namespace recordkv::stages
