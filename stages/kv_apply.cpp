#include "kv_apply.hpp"

#include "recordkv/atproto/syntax.hpp"
#include "recordkv/config.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

#include <algorithm>
#include <chrono>

namespace recordkv::stages {

using atproto::event_kind;
using atproto::record_change;
using atproto::record_flaw;
using atproto::repo_event;
using std::chrono::milliseconds;

namespace {

// An account has some dozens of collections. One that goes on and on would make its state outgrow what NATS takes.
constexpr std::size_t most_collection_bytes = std::size_t{16} << 10;
// atproto.com, TID and repository: a rev from the future is refused. How far is left open; relays take five minutes.
constexpr std::chrono::minutes future{5};

bool from_the_future(const std::string& rev, std::chrono::system_clock::time_point now) {
  return std::chrono::microseconds(atproto::tid_micros(rev)) > now.time_since_epoch() + future;
}

}  // namespace

kv_apply::kv_apply(nats::inbox& in, nats::outbox& out, state_port states, apply_rules rules, meters& counters)
    : in_(in), out_(out), states_(std::move(states)), rules_(std::move(rules)), counters_(counters) {}

task<result<void>> kv_apply::take() {
  for (;;) {
    while (waiting_.size() >= rules_.unsettled_events && !abandoned_) co_await freed_.wait();
    auto batch = co_await in_.next();
    if (!batch || abandoned_) {
      taking_ = false;
      out_.moved().notify();
      pause_.notify();
      co_return batch ? result<void>{} : result<void>{batch.error()};
    }
    std::vector<repo_event> events;
    events.reserve(batch->size());
    for (const auto& m : *batch) {
      auto e = atproto::decode_event(m.data());
      events.push_back(e ? std::move(*e) : undecoded(m, e.error()));
    }
    if (auto loaded = co_await load_missing(events); !loaded) co_return loaded;
    for (std::size_t i = 0; i < events.size(); ++i)
      if (auto done = co_await apply(std::move((*batch)[i]), std::move(events[i])); !done) co_return done;
    evict();
  }
}

// States that are not in memory are read before anything of the batch is applied; one in memory is never read over
// (X9).
task<result<void>> kv_apply::load_missing(const std::vector<repo_event>& events) {
  std::vector<std::string> dids;
  for (const auto& e : events)
    if (!e.did.empty() && !accounts_.contains(e.did)) dids.push_back(e.did);
  std::sort(dids.begin(), dids.end());
  dids.erase(std::unique(dids.begin(), dids.end()), dids.end());
  if (dids.empty()) co_return result<void>{};
  auto found = co_await states_.load(dids);
  while (!found && !abandoned_) {
    log::warn("kv", "reading account states: {}; trying again", found.error().text);
    co_await freed_.wait_for(milliseconds(500));
    found = co_await states_.load(dids);
  }
  if (!found) co_return found.error();
  for (std::size_t i = 0; i < dids.size(); ++i) {
    auto [it, fresh] = accounts_.try_emplace(dids[i]);
    if (!fresh) continue;
    auto& a = it->second;
    a.seq = (*found)[i].seq;
    a.newest = std::move((*found)[i].state);
    a.newest.did = dids[i];
    a.settled = a.newest;
    a.recent = recent_.insert(recent_.end(), dids[i]);
  }
  co_return result<void>{};
}

task<result<void>> kv_apply::apply(nats::message from, repo_event e) {
  switch (e.kind) {
    case event_kind::commit:
      if (!lost_by_lateness(from, e)) co_return co_await apply_commit(std::move(from), std::move(e));
      leave_out(std::move(from), e, "late", fmt::format("rev {} came after newer ones", e.rev));
      break;
    case event_kind::sync:
    case event_kind::account:
    case event_kind::oversize:
    case event_kind::unreadable: note_stream_event(std::move(from), e); break;
    case event_kind::identity: skip(std::move(from), "identity"); break;
    case event_kind::info:
    case event_kind::unknown: skip(std::move(from), "unknown"); break;
  }
  co_return result<void>{};
}

task<result<void>> kv_apply::apply_commit(nats::message from, repo_event e) {
  account& a = touch(e.did);
  // Several Jetstream events of one rev make up a commit, so only an older rev is a repetition there (X8).
  const bool older = e.proofless ? e.rev < a.newest.rev : e.rev <= a.newest.rev;
  if (older) {
    skip(std::move(from), "older");
    co_return result<void>{};
  }
  const auto wanted = [&](const record_change& c) { return wants_collection(rules_.collections, c.collection); };
  if (a.newest.rev.empty() && std::ranges::none_of(e.changes, wanted)) {
    skip(std::move(from), "unwanted");  // the account has not begun
    co_return result<void>{};
  }
  if (from_the_future(e.rev, rules_.now())) {  // taken, it would make every later one look older
    leave_out(std::move(from), e, "future_rev",
              fmt::format("rev {} is of the future, by the clock of this machine", e.rev));
    co_return result<void>{};
  }
  ++a.held;  // the loop below suspends: this account must not be evicted meanwhile
  if (chain_broken(a, e)) desynchronise(a, from, "gap", "a commit is missing before rev " + e.rev);
  std::optional<nats::ordinal> last;
  for (const auto& c : e.changes) {
    if (!wanted(c)) {
      counters_.add("left_out", "unwanted");
      continue;
    }
    if (c.flaw != record_flaw::none) {
      leave_out_record(from, e, c, atproto::name(c.flaw));
      continue;
    }
    if (!begins_collection(a, c.collection)) {
      leave_out_record(from, e, c, "too_many_collections");
      continue;
    }
    auto written = c.what == atproto::action::remove ? co_await erase_record(e, c) : co_await write_record(from, e, c);
    if (!written && written.error().code == errc::too_large) continue;
    if (!written) {
      --a.held;
      co_return written.error();
    }
    last = *written;
  }
  if (a.newest.rev.empty()) a.newest.begun = e.rev;
  a.newest.rev = std::move(e.rev);
  a.newest.data = std::move(e.data);
  a.newest.filter = rules_.filter;
  counters_.add("commits");
  --a.held;
  hold(last ? *last : out_.skip(), std::move(from), &a);
  co_return result<void>{};
}

/// Whether it may have records there. It remembers where it has, or once had.
bool kv_apply::begins_collection(account& a, const std::string& collection) {
  auto& known = a.newest.collections;
  std::size_t bytes = collection.size();
  for (const auto& c : known) {
    if (c == collection) return true;
    bytes += c.size();
  }
  if (bytes > most_collection_bytes) return false;
  known.push_back(collection);
  return true;
}

bool kv_apply::chain_broken(const account& a, const repo_event& e) const {
  return !a.newest.data.empty() && !e.proofless && e.prev_data != a.newest.data;
}

task<result<nats::ordinal>> kv_apply::write_record(const nats::message& from, const repo_event& e,
                                                   const record_change& c) {
  const auto key = kv::record_key::of(e.did, c.collection, c.rkey, rules_.partitions).text();
  nats::header_list headers;
  headers.reserve(4);
  headers.push_back({"cid", c.cid});
  headers.push_back({"rev", e.rev});
  headers.push_back({"time", e.time});
  headers.push_back({"op", std::string(atproto::name(c.what))});
  auto put = co_await out_.put(fmt::format("$KV.{}.{}", rules_.bucket, key), std::move(headers), c.json);
  if (put) counters_.add("records_written");
  if (put || put.error().code != errc::too_large) co_return put;
  log::warn("kv", "at://{}/{}/{} is too large for NATS; left out, an older value is deleted", e.did, c.collection,
            c.rkey);
  leave_out_record(from, e, c, "too_large");
  co_return co_await erase_record(e, c);
}

// A delete; and in place of what is known and can't be stored, since an older value would pass for it.
task<result<nats::ordinal>> kv_apply::erase_record(const repo_event& e, const record_change& c) {
  const auto key = kv::record_key::of(e.did, c.collection, c.rkey, rules_.partitions).text();
  nats::header_list headers;
  headers.reserve(5);
  headers.push_back({"KV-Operation", "DEL"});
  headers.push_back({"rev", e.rev});
  headers.push_back({"time", e.time});
  headers.push_back({"op", "delete"});
  if (!c.prev.empty()) headers.push_back({"prev", c.prev});
  auto put = co_await out_.put(fmt::format("$KV.{}.{}", rules_.bucket, key), std::move(headers), {});
  if (put) counters_.add("records_deleted");
  co_return put;
}

void kv_apply::skip(nats::message from, std::string_view why) {
  counters_.add("skipped", why);
  hold(out_.skip(), std::move(from), nullptr);
}

void kv_apply::hold(nats::ordinal last, nats::message from, account* who) {
  if (who) ++who->held;
  waiting_.push_back(
      {last, std::move(from), who, who ? who->newest : kv::repo_state{}, std::chrono::steady_clock::now()});
  if (out_.floor() > last) out_.moved().notify();  // it was the only thing in flight
}

kv_apply::account& kv_apply::touch(const std::string& did) {
  auto& a = accounts_.at(did);
  recent_.splice(recent_.end(), recent_, a.recent);
  return a;
}

void kv_apply::evict() {
  // Those still held are passed over: a state that is not yet written exists nowhere else.
  for (auto it = recent_.begin(); accounts_.size() > rules_.cached_accounts && it != recent_.end();) {
    const auto a = accounts_.find(*it);
    if (a->second.held > 0 || a->second.dirty) {
      ++it;
      continue;
    }
    accounts_.erase(a);
    it = recent_.erase(it);
  }
}

void kv_apply::abandon() noexcept {
  abandoned_ = true;
  freed_.notify();
  pause_.notify();
  out_.moved().notify();
}

}  // namespace recordkv::stages
