// The applier's part that puts and deletes records, and skips those that can't be stored.
#include "apply.hpp"
#include "event_rules.hpp"
#include "recordkv/config.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

#include <optional>

namespace recordkv::stages {

using atproto::record_change;
using atproto::record_flaw;
using atproto::repo_event;

namespace {

// An account has a few dozen collections. Without a bound, the list could make the account's state too large
// for a NATS message.
constexpr std::size_t max_collection_bytes = std::size_t{16} << 10;

}  // namespace

bool applier::wants(const std::string& collection) const { return wants_collection(rules_.collections, collection); }

// Returns the ordinal of the last put; nullopt if nothing was put.
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

/// Adds the collection to those in which the account has, or once had, records. False: the list is full.
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

// Puts a delete marker: for a delete, and for a record too large for NATS, whose older value would else look current.
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

// Skips one record of a commit, whose other records are applied. This function leaves the key's old value alone: an
// unreadable record does not prove that the old one is gone. If a record is too large, the caller deletes the old
// value.
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

}  // namespace recordkv::stages
