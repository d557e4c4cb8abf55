// The applier's part that puts and deletes records, and skips those that can't be stored.
#include "accounts/event_rules.hpp"
#include "apply.hpp"
#include "recordkv/config.hpp"
#include "recordkv/core/log.hpp"

#include <optional>

namespace recordkv::stages {

using atproto::record_change;
using atproto::record_flaw;

bool applier::wants(const std::string& collection) const { return wants_collection(rules_.collections, collection); }

// Returns the ordinal of the last put; nullopt if nothing was put. Takes the records' JSON out of the event.
task<result<std::optional<nats::ordinal>>> applier::apply_changes(account& a, kv_event& e) {
  std::optional<nats::ordinal> last;
  for (auto& c : e.what->changes) {
    auto put = co_await apply_change(a, e, c);
    if (!put) co_return put.error();
    if (*put) last = *put;
  }
  co_return last;
}

task<result<std::optional<nats::ordinal>>> applier::apply_change(account& a, const kv_event& e, record_change& c) {
  using none = std::optional<nats::ordinal>;
  if (!wants(c.collection)) {
    counters_.add("skipped", "unwanted");
    co_return none{};
  }
  if (c.flaw != record_flaw::none) {
    skip_record(a, e, c, atproto::name(c.flaw));
    co_return none{};
  }
  if (!note_collection(a.newest, c.collection)) {
    skip_record(a, e, c, "too_many_collections");
    co_return none{};
  }
  auto put = c.what == atproto::action::remove ? co_await writer_.erase(*e.what, c) : co_await write_record(a, e, c);
  if (!put && put.error().code == errc::too_large) co_return none{};
  if (!put) co_return put.error();
  co_return none(*put);
}

task<result<nats::ordinal>> applier::write_record(account& a, const kv_event& e, record_change& c) {
  auto put = co_await writer_.put(*e.what, c);
  if (put || put.error().code != errc::too_large) co_return put;
  log::warn("kv", "at://{}/{}/{} is too large for NATS: skipped, and an older value is deleted", e.what->did,
            c.collection, c.rkey);
  skip_record(a, e, c, "too_large");
  co_return co_await writer_.erase(*e.what, c);
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
              n == 1 ? "" : "s", collection, reason, e.what->did, path, e.what->rev);
  desynchronise(a, e, reason, fmt::format("{} at rev {}: {}", path, e.what->rev, reason));
}

}  // namespace recordkv::stages
