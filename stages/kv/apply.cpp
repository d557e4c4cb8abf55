#include "apply.hpp"

#include "recordkv/atproto/syntax.hpp"
#include "recordkv/config.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

#include <algorithm>
#include <optional>

namespace recordkv::stages {

using atproto::event_kind;
using atproto::record_change;
using atproto::record_flaw;
using atproto::repo_event;

namespace {

// An account has some dozens of collections. Beyond this bound its state would outgrow a NATS message.
constexpr std::size_t max_collection_bytes = std::size_t{16} << 10;
// The specifications of TID and repository (atproto.com) demand that a rev from the future is refused. They do not say
// how far ahead; relays use five minutes.
constexpr std::chrono::minutes future{5};

bool from_the_future(const std::string& rev, std::chrono::system_clock::time_point now) {
  return std::chrono::microseconds(atproto::tid_micros(rev)) > now.time_since_epoch() + future;
}

// The host that an event came from: header `source` is "{kind}.{enc(host)}". Called only where something is wrong,
// because the first look at a header parses them all.
std::string host_of(const event_handle& from) {
  const auto source = from.header("source");
  const auto dot = source.find('.');
  if (dot == source.npos) return "unknown";
  auto host = kv::decode_part(source.substr(dot + 1)).substr(0, 128);
  std::ranges::replace_if(host, [](char c) { return c <= 0x20 || c > 0x7E || c == '"' || c == '\\'; }, '?');
  return host;
}

bool came_late(const event_handle& from) { return !from.header("late").empty(); }

// The frame came after newer ones. `begun` is the rev of the account's first applied commit. A late commit older than
// `begun` was never applied, and no later prev_data shows that. Any other was applied, or prev_data has shown the gap.
bool lost_by_lateness(const account& a, const kv_event& e) {
  return !e.what.proofless && e.what.rev < a.newest.begun && came_late(e.from);
}

// The commit does not continue from the tree that was applied last: prev_data is another one.
bool chain_broken(const account& a, const repo_event& e) {
  return !a.newest.data.empty() && !e.proofless && e.prev_data != a.newest.data;
}

// Several Jetstream events of one rev make up a commit, so there only an older rev is a repetition (X8).
bool is_repetition(const account& a, const repo_event& e) {
  return e.proofless ? e.rev < a.newest.rev : e.rev <= a.newest.rev;
}

std::string_view word_for(event_kind k) {
  switch (k) {
    case event_kind::sync: return "sync";
    case event_kind::account: return "account";
    case event_kind::oversize: return "oversize";
    default: return "unreadable";
  }
}

// "#account takendown", "#sync 3kabc…": the kind, and the first of rev, reason and status that is not empty.
std::string detail_of(std::string_view word, const repo_event& e) {
  for (const auto* detail : {&e.rev, &e.reason, &e.status})
    if (!detail->empty()) return fmt::format("#{} {}", word, *detail);
  return fmt::format("#{}", word);
}

}  // namespace

applier::applier(nats::outbox& out, account_cache& accounts, settlement& settles, apply_rules rules, meters& counters)
    : out_(out), accounts_(accounts), settles_(settles), rules_(std::move(rules)), counters_(counters) {}

bool applier::wants(const std::string& collection) const { return wants_collection(rules_.collections, collection); }

task<result<void>> applier::apply(kv_event e) {
  if (e.undecoded) count_undecoded(e);
  switch (e.what.kind) {
    case event_kind::commit: co_return co_await apply_commit(std::move(e));
    case event_kind::sync:
    case event_kind::account:
    case event_kind::oversize:
    case event_kind::unreadable: apply_notice(std::move(e)); break;
    case event_kind::identity: ignore(std::move(e), "identity"); break;
    case event_kind::info:
    case event_kind::unknown: ignore(std::move(e), "unknown"); break;
  }
  co_return result<void>{};
}

task<result<void>> applier::apply_commit(kv_event e) {
  account& a = accounts_.use(e.what.did);
  if (lost_by_lateness(a, e)) {
    auto why = fmt::format("rev {} came after newer ones", e.what.rev);
    skip_event(std::move(e), "late", std::move(why));
    co_return result<void>{};
  }
  if (is_repetition(a, e.what)) {
    ignore(std::move(e), "older");
    co_return result<void>{};
  }
  if (a.newest.rev.empty() && std::ranges::none_of(e.what.changes, [&](auto& c) { return wants(c.collection); })) {
    ignore(std::move(e), "unwanted");  // the account has not begun
    co_return result<void>{};
  }
  if (from_the_future(e.what.rev, rules_.now())) {  // applied, it would make every later commit look older
    auto why = fmt::format("rev {} is of the future, by the clock of this machine", e.what.rev);
    skip_event(std::move(e), "future_rev", std::move(why));
    co_return result<void>{};
  }
  if (chain_broken(a, e.what)) desynchronise(a, e.from, "gap", "a commit is missing before rev " + e.what.rev);
  auto last = co_await apply_changes(a, e);
  if (!last) co_return last.error();
  if (a.newest.rev.empty()) a.newest.begun = e.what.rev;
  a.newest.rev = std::move(e.what.rev);
  a.newest.data = std::move(e.what.data);
  a.newest.filter = rules_.filter;
  counters_.add("commits");
  settles_.add(*last ? **last : out_.skip(), std::move(e), &a);
  co_return result<void>{};
}

// The ordinal of the last put; none if there was none.
task<result<std::optional<nats::ordinal>>> applier::apply_changes(account& a, const kv_event& e) {
  std::optional<nats::ordinal> last;
  for (const auto& c : e.what.changes) {
    auto put = co_await apply_change(a, e, c);
    if (!put) co_return put.error();
    if (*put) last = *put;
  }
  co_return last;
}

task<result<std::optional<nats::ordinal>>> applier::apply_change(account& a, const kv_event& e,
                                                                 const record_change& c) {
  using none = std::optional<nats::ordinal>;
  if (!wants(c.collection)) {
    counters_.add("skipped", "unwanted");
    co_return none{};
  }
  if (c.flaw != record_flaw::none) {
    skip_record(a, e, c, atproto::name(c.flaw));
    co_return none{};
  }
  if (!note_collection(a, c.collection)) {
    skip_record(a, e, c, "too_many_collections");
    co_return none{};
  }
  auto put = c.what == atproto::action::remove ? co_await erase_record(e.what, c) : co_await write_record(a, e, c);
  if (!put && put.error().code == errc::too_large) co_return none{};
  if (!put) co_return put.error();
  co_return none(*put);
}

/// Notes in the account's state that it has, or once had, records of this collection. False: the list is full.
bool applier::note_collection(account& a, const std::string& collection) {
  auto& known = a.newest.collections;
  std::size_t bytes = collection.size();
  for (const auto& c : known) {
    if (c == collection) return true;
    bytes += c.size();
  }
  if (bytes > max_collection_bytes) return false;
  known.push_back(collection);
  return true;
}

task<result<nats::ordinal>> applier::write_record(account& a, const kv_event& e, const record_change& c) {
  const auto key = kv::record_key::of(e.what.did, c.collection, c.rkey, rules_.partitions).text();
  nats::header_list headers;
  headers.reserve(4);
  headers.push_back({"cid", c.cid});
  headers.push_back({"rev", e.what.rev});
  headers.push_back({"time", e.what.time});
  headers.push_back({"op", std::string(atproto::name(c.what))});
  auto put = co_await out_.put(fmt::format("$KV.{}.{}", rules_.bucket, key), std::move(headers), c.json);
  if (put) counters_.add("records_written");
  if (put || put.error().code != errc::too_large) co_return put;
  log::warn("kv", "at://{}/{}/{} is too large for NATS: skipped, and an older value is deleted", e.what.did,
            c.collection, c.rkey);
  skip_record(a, e, c, "too_large");
  co_return co_await erase_record(e.what, c);
}

// For a delete. Also for a record too large for NATS: its older value would otherwise look current.
task<result<nats::ordinal>> applier::erase_record(const repo_event& e, const record_change& c) {
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

// Events about an account as a whole. The store can't follow them until accounts can be fetched in full. So they are
// counted, and an account that has begun is marked. An unreadable or oversize event marks any account.
void applier::apply_notice(kv_event e) {
  const auto word = word_for(e.what.kind);
  counters_.add("stream_events", word);
  account& a = accounts_.use(e.what.did);
  const bool begun = !a.newest.rev.empty() || a.newest.stale();
  const bool blind = e.what.kind == event_kind::oversize || e.what.kind == event_kind::unreadable;
  if (!begun && !blind) return ignore(std::move(e), "not_begun");
  if (e.what.kind == event_kind::sync &&
      (e.what.rev <= a.newest.rev || (!e.what.data.empty() && e.what.data == a.newest.data)))
    return ignore(std::move(e), "older");
  if (e.what.kind == event_kind::account && came_late(e.from))  // whether it is the newest #account is not known
    return skip_event(std::move(e), "late", "#account came after newer events");
  if (e.what.kind == event_kind::account) {
    a.newest.upstream_status = e.what.active ? "" : e.what.status.empty() ? "inactive" : e.what.status;
    if (e.what.active) return settles_.add(out_.skip(), std::move(e), &a);
  }
  if (blind)
    desynchronise(a, e.from, e.what.reason.empty() ? word : e.what.reason, detail_of(word, e.what));
  else
    desynchronise(a, e.from, word, detail_of(word, e.what));
  settles_.add(out_.skip(), std::move(e), &a);
}

// The event changes nothing, and nothing is lost by that.
void applier::ignore(kv_event e, std::string_view why) {
  counters_.add("ignored", why);
  settles_.add(out_.skip(), std::move(e), nullptr);
}

// The event is lost: its account is marked.
void applier::skip_event(kv_event e, std::string_view reason, std::string why) {
  counters_.add("skipped", reason);
  account& a = accounts_.use(e.what.did);
  desynchronise(a, e.from, reason, std::move(why));
  settles_.add(out_.skip(), std::move(e), &a);
}

// One record of a commit whose other records are applied. Its key keeps the old value: a record that can't be read is
// no proof that the old one is gone.
void applier::skip_record(account& a, const kv_event& e, const record_change& c, std::string_view reason) {
  counters_.add("skipped", reason);
  const auto collection = c.collection.empty() ? std::string("?") : c.collection;
  const auto path = fmt::format("{}/{}", collection, c.rkey.empty() ? "?" : c.rkey);
  const auto host = host_of(e.from);
  if (const auto n = told_.count(fmt::format("{} {} {}", host, reason, c.collection), rate_limited::clock::now()))
    log::warn("kv", "{}: {} record{} of collection {} skipped for {}, the last at://{}/{} at rev {}", host, n,
              n == 1 ? "" : "s", collection, reason, e.what.did, path, e.what.rev);
  desynchronise(a, e.from, reason, fmt::format("{} at rev {}: {}", path, e.what.rev, reason));
}

// A payload that the decoder refused passes as an event of kind `unreadable` if its DID could be read, else `unknown`.
void applier::count_undecoded(const kv_event& e) {
  const auto& reason = e.what.reason;
  counters_.add("skipped", reason == "bad_did" || reason == "did_too_long" ? reason : "malformed");
  const auto host = host_of(e.from);
  if (e.what.did.empty())
    counters_.add_of_host("account_faults", host, reason);  // with a DID, apply_notice() counts it
  if (const auto n = told_.count(host, rate_limited::clock::now()))
    log::warn("kv", "{}: {} event{} skipped, the last for {}, account {}", host, n, n == 1 ? "" : "s", reason,
              e.what.did.empty() ? "unknown" : e.what.did);
}

void applier::desynchronise(account& a, const event_handle& from, std::string_view reason, std::string why) {
  if (!a.newest.stale()) ++desynchronised_;
  const auto host = host_of(from);
  counters_.add_of_host("account_faults", host, reason);
  a.newest.desynchronise(reason, fmt::format("{} (from {})", why, host));
}

}  // namespace recordkv::stages
