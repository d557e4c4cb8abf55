#include "event_rules.hpp"

#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::stages {
std::string host_of(const event_handle& from) {
  const auto source = from.origin().source;
  const auto dot = source.find('.');
  if (dot == source.npos) return "unknown";
  auto host = kv::decode_part(source.substr(dot + 1)).substr(0, 128);
  std::ranges::replace_if(host, [](char c) { return c <= 0x20 || c > 0x7E || c == '"' || c == '\\'; }, '?');
  return host;
}

bool of_firehose(const kv_event& e) { return e.framed || e.from.origin().source.starts_with("firehose."); }

bool came_late(const event_handle& from) { return from.origin().late; }

bool lost_by_lateness(const account& a, const kv_event& e) {
  return !e.what->proofless && e.what->rev < a.newest.begun && came_late(e.from);
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

bool note_collection(kv::repo_state& s, const std::string& collection) {
  // An account has a few dozen collections. Without a bound, the list could make the account's state too large for a
  // NATS message.
  constexpr std::size_t max_collection_bytes = std::size_t{16} << 10;
  std::size_t bytes = collection.size();
  for (const auto& c : s.collections) {
    if (c == collection) return true;
    bytes += c.size();
  }
  if (bytes > max_collection_bytes) return false;
  s.collections.push_back(collection);
  return true;
}

bool note_account_number(kv::repo_state& s, const kv_event& e) {
  constexpr std::size_t max_sources = 4;
  auto from = e.from.origin();
  const auto seq = e.source_seq > 0 ? e.source_seq : from.seq;
  if (from.source.empty() || seq == 0) return true;
  kv::account_number now{.source = std::move(from.source), .epoch = std::move(from.epoch), .seq = seq};
  const auto known = std::ranges::find(s.account_seq, now.source, &kv::account_number::source);
  if (known == s.account_seq.end()) {
    if (s.account_seq.size() == max_sources) s.account_seq.erase(s.account_seq.begin());
    s.account_seq.push_back(std::move(now));
    return true;
  }
  if (known->epoch == now.epoch && known->seq >= now.seq) return false;
  *known = std::move(now);
  return true;
}

bool is_away(const kv::repo_state& s) {
  return inactive(s) || s.status == "inactive" || s.status == "removing" || s.status == "deleted" ||
         s.status == "removed";
}

bool is_unconfirmed(const kv::repo_state& s) {
  return s.status == "removing" || (inactive(s) && (s.status == "synchronised" || s.status == "desynchronised"));
}

bool is_to_be_cleared(const kv::repo_state& s) { return s.status == "removed" && !s.reasons.empty(); }

bool is_forgotten(const kv::repo_state& s) { return s.status == "deleted" || s.status == "removed"; }

}  // namespace recordkv::stages
