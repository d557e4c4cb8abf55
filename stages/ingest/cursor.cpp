#include "cursor.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/parse_number.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/firehose/source.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/kv/frame_batch.hpp"
#include "recordkv/kv/frame_origin.hpp"
#include "recordkv/kv/lease.hpp"

#include <algorithm>

namespace recordkv::stages {
namespace {

// A number from the future would be requested again and again, and everything before it would be skipped.
bool from_the_future(std::uint64_t seq, const source_key& key) {
  return !firehose::believable_number(seq, firehose::source_kind_named(key.kind).timed);
}

std::string_view newest_frame(std::string_view payload) {
  const auto frames = kv::frames_in(payload);
  return frames ? frames->back().bytes : std::string_view{};
}

}  // namespace

task<result<nats::ensured>> cursor::open(int replicas) {
  auto opened = co_await bucket_.open("file", replicas);
  if (!opened) co_return opened;
  if (auto known = co_await read(); !known) co_return known.error();
  co_return opened;
}

// Finds the key, or one that an earlier version kept for the same source under another spelling of its address. A key
// of this version has the header `url`. A key that a person deleted stays deleted.
task<result<kv::entry>> cursor::find() {
  auto current = co_await bucket_.get(key_.name);
  former_.clear();
  if (!current && current.error().code != errc::not_found) co_return current;
  seq_ = current ? current->seq : 0;
  if (current && (current->deleted || !current->header_value("url").empty())) co_return current;
  co_return co_await former(current);
}

task<result<kv::entry>> cursor::former(const result<kv::entry>& current) {
  auto keys = co_await bucket_.keys();
  if (!keys) co_return keys.error();
  auto newest = current;
  for (const auto& k : *keys) {
    if (k == key_.name || !key_.was(k)) continue;
    auto found = co_await bucket_.get(k);
    if (!found && found.error().code != errc::not_found) co_return found;
    if (!found || found->deleted || !found->header_value("url").empty()) continue;
    if (newest && newest->seq >= found->seq) continue;
    newest = std::move(found);
    former_ = k;
  }
  co_return newest;
}

task<result<void>> cursor::read() {
  auto found = co_await find();
  at_.reset();
  if (!found && found.error().code != errc::not_found) co_return found.error();
  if (!found || found->deleted) co_return result<void>{};
  const auto value = parse_number<std::uint64_t>(found->value);
  const auto& name = former_.empty() ? key_.name : former_;
  if (!value)
    co_return fail(errc::mismatch, "key {} of bucket {} holds no decimal number; delete it (nats kv del {} {})", name,
                   bucket_.name(), bucket_.name(), name);
  at_ = source_position(*value, epoch_seconds(found->header_value("time")).value_or(0));
  epoch_ = parse_number<std::uint64_t>(found->header_value("epoch")).value_or(0);
  server_id_ = found->header_value("server_id");
  repair();
  co_return result<void>{};
}

void cursor::repair() {
  if (!from_the_future(at_->seq, key_)) return;
  const auto was = at_->seq;
  const bool timed = firehose::source_kind_named(key_.kind).timed && at_->time > 0;
  at_ = timed ? source_position(static_cast<std::uint64_t>(at_->time * 1e6), at_->time) : source_position(0);
  ++epoch_;
  log::warn("ingest", "the cursor of {} was {}, which is in the future; reading begins at {}", key_.name, was,
            timed ? "the time of the last event: " + timestamp_of(at_->time) : "the oldest event");
}

task<result<void>> cursor::write(source_position value, std::string server_id) {
  if (at_ && value.seq < at_->seq) co_return result<void>{};
  const auto& me = kv::process_identity::self().id;
  for (;;) {
    kv::write w{.key = key_.name, .value = std::to_string(value.seq), .expected = seq_, .of_lease = true};
    w.headers.push_back({"writer", me});
    w.headers.push_back({"epoch", std::to_string(epoch_)});
    w.headers.push_back({"server_id", server_id});
    w.headers.push_back({"url", key_.url});
    if (const auto time = timestamp_of(value.time); value.time > 0 && !time.empty())
      w.headers.push_back({"time", time});
    auto written = co_await bucket_.update(std::move(w));
    if (written) {
      seq_ = *written;
      at_ = value;
      server_id_ = std::move(server_id);
      co_return co_await retire(std::exchange(former_, {}));
    }
    if (written.error().code != errc::conflict) co_return written.error();
    auto now = co_await bucket_.get(key_.name);
    if (!now) co_return now.error();
    // If this process wrote it, only the answer was lost: go on from there. If another process did, step down (X5).
    if (now->header_value("writer") != me)
      co_return fail(errc::lease_lost, "the cursor of {} was written by another process", key_.name);
    seq_ = now->seq;
  }
}

// The new key is written, so the old one is no longer read, and is removed. A kill in between merely leaves it behind.
task<result<void>> cursor::retire(std::string old) {
  if (old.empty()) co_return result<void>{};
  log::info("ingest", "the cursor of {} was kept under {} so far, and is taken over", key_.name, old);
  auto left = co_await bucket_.get(old);
  if (!left) co_return result<void>{};
  kv::write w{.key = std::move(old), .expected = left->seq};
  w.headers.push_back({"KV-Operation", "DEL"});
  (void)co_await bucket_.update(std::move(w));
  co_return result<void>{};
}

task<result<void>> cursor::take_over(std::function<bool()> still_ours) {
  for (;;) {
    auto done = co_await read();
    if (!done || !at_) co_return done;
    done = co_await write(*at_, server_id_);
    if (done || done.error().code != errc::lease_lost || !still_ours()) co_return done;
  }
}

void cursor::begin_epoch() noexcept {
  ++epoch_;
  at_.reset();
}

std::optional<source_position> cursor::resume_at(const std::optional<buffered>& last,
                                                 const std::string& server_id) const {
  const bool same_server = at_ && server_id_ == server_id;
  if (!same_server || !last || last->source != key_.name || last->epoch != epoch_) return at_;
  if (from_the_future(last->seq, key_)) return at_;
  return source_position(last->seq, std::max(last->time, at_->time));
}

task<result<std::optional<cursor::buffered>>> last_buffered(nats::connection& nc, kv::store_names names) {
  auto m = co_await nats::last_message(nc, names.buffer(), names.buffer_subject(">"));
  if (!m && m.error().code == errc::not_found) co_return std::optional<cursor::buffered>{};
  if (!m) co_return m.error();
  const auto origin = kv::read_origin([&m](const char* name) { return m->header_value(name); });
  cursor::buffered b{.source = origin.source, .seq = origin.seq};
  const auto newest = newest_frame(m->data);
  const auto seen = newest.starts_with('{') ? atproto::summarise_jetstream(newest) : atproto::summarise_frame(newest);
  if (seen && firehose::believable_number(static_cast<std::uint64_t>(seen->time * 1e6), true)) b.time = seen->time;
  b.epoch = parse_number<std::uint64_t>(origin.epoch).value_or(0);
  co_return b;
}

}  // namespace recordkv::stages
