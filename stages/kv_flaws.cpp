// The third half of kv_apply: what can't be applied. It is counted by reason and host, and its account is marked: no
// loss without a trace (docs/invariants.md, "Flaws").
#include "kv_apply.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::stages {

using atproto::event_kind;
using atproto::record_change;
using atproto::repo_event;

namespace {

// Whose frame it was: header `source` is "{kind}.{enc(host)}". Only asked for where something is wrong: the first look
// at a header parses them all.
std::string host_of(const nats::message& m) {
  const auto source = m.header_value("source");
  const auto dot = source.find('.');
  if (dot == source.npos) return "unknown";
  auto host = kv::decode_part(source.substr(dot + 1)).substr(0, 128);
  std::ranges::replace_if(host, [](char c) { return c <= 0x20 || c > 0x7E || c == '"' || c == '\\'; }, '?');
  return host;
}

bool came_late(const nats::message& m) { return !m.header_value("late").empty(); }

}  // namespace

// What decode_event refused is an event of its account all the same, where its summary names the account.
repo_event kv_apply::undecoded(const nats::message& m, const error& why) {
  auto e = atproto::undecoded(m.data(), why);
  counters_.add("left_out", e.reason == "bad_did" || e.reason == "did_too_long" ? e.reason : "malformed");
  if (e.did.empty()) counters_.add_of_host("account_faults", host_of(m), e.reason);  // else with its account
  if (const auto n = told_.count(host_of(m), rate_limited::clock::now()))
    log::warn("kv", "{}: {} event{} left out, the last for {}, account {}", host_of(m), n, n == 1 ? "" : "s", e.reason,
              e.did.empty() ? "unknown" : e.did);
  return e;
}

// Ingest says that this frame came behind newer ones and had not passed before. If its account's records begin with a
// later commit, nobody has applied it; a break of the chain would not show it. If they begin earlier, either it was
// applied, or the chain has told.
bool kv_apply::lost_by_lateness(const nats::message& from, const repo_event& e) const {
  const auto& a = accounts_.at(e.did).newest;
  return !e.proofless && e.rev < a.begun && came_late(from);
}

void kv_apply::leave_out(nats::message from, const repo_event& e, std::string_view reason, std::string why) {
  counters_.add("left_out", reason);
  account& a = touch(e.did);
  desynchronise(a, from, reason, std::move(why));
  hold(out_.skip(), std::move(from), &a);
}

// One record of a commit whose others are applied. Its key keeps what stands there: that a record can't be read is no
// proof that it is gone.
void kv_apply::leave_out_record(const nats::message& from, const repo_event& e, const record_change& c,
                                std::string_view reason) {
  counters_.add("left_out", reason);
  const auto path = fmt::format("{}/{}", c.collection.empty() ? "?" : c.collection, c.rkey.empty() ? "?" : c.rkey);
  const auto host = host_of(from);
  if (const auto n = told_.count(fmt::format("{} {} {}", host, reason, c.collection), rate_limited::clock::now()))
    log::warn("kv", "{}: {} record{} of {} left out for {}, the last at://{}/{} at rev {}", host, n, n == 1 ? "" : "s",
              c.collection.empty() ? "no collection" : c.collection, reason, e.did, path, e.rev);
  desynchronise(accounts_.at(e.did), from, reason, fmt::format("{} at rev {}: {}", path, e.rev, reason));
}

// What can't be repaired before accounts can be fetched: it is counted, and the account marked.
void kv_apply::note_stream_event(nats::message from, const repo_event& e) {
  static constexpr auto word = [](event_kind k) -> std::string_view {
    switch (k) {
      case event_kind::sync: return "sync";
      case event_kind::account: return "account";
      case event_kind::oversize: return "oversize";
      default: return "unreadable";
    }
  };
  counters_.add("stream_events", word(e.kind));
  account& a = touch(e.did);
  const bool begun = !a.newest.rev.empty() || a.newest.stale();
  const bool blind = e.kind == event_kind::oversize || e.kind == event_kind::unreadable;
  if (!begun && !blind) return skip(std::move(from), "not_begun");
  if (e.kind == event_kind::sync && (e.rev <= a.newest.rev || (!e.data.empty() && e.data == a.newest.data)))
    return skip(std::move(from), "older");
  if (e.kind == event_kind::account && came_late(from))  // its order tells what holds, and that is lost
    return leave_out(std::move(from), e, "late", "#account came after newer events");
  if (e.kind == event_kind::account) {
    a.newest.upstream_status = e.active ? "" : e.status.empty() ? "inactive" : e.status;
    if (e.active) return hold(out_.skip(), std::move(from), &a);
  }
  const auto& more = !e.rev.empty() ? e.rev : blind ? e.reason : e.status;
  desynchronise(a, from, blind && !e.reason.empty() ? e.reason : word(e.kind),
                fmt::format("#{} {}", word(e.kind), more));
  hold(out_.skip(), std::move(from), &a);
}

void kv_apply::desynchronise(account& a, const nats::message& from, std::string_view reason, std::string why) {
  if (!a.newest.stale()) ++stale_seen_;
  const auto host = host_of(from);
  counters_.add_of_host("account_faults", host, reason);
  a.newest.desynchronise(reason, fmt::format("{} (from {})", why, host));
}

}  // namespace recordkv::stages
