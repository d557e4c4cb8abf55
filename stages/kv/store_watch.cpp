#include "store_watch.hpp"

#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/stage/buffer_stream.hpp"

namespace recordkv::stages {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

namespace {

// NATS sends no event when a program changes a stream, so the settings are read regularly.
constexpr auto when_well = 30s;
constexpr auto when_not = 1s;
constexpr auto growth_reading = 1s;  // the growth is a rate over ten seconds

}  // namespace

void store_watch::start(nursery& children) {
  children.spawn(watch_settings());
  children.spawn(watch_growth());
}

void store_watch::close() noexcept {
  closed_ = true;
  closing_.notify();
}

task<> store_watch::watch_settings() {
  for (auto due = clock::now(); !closed_; co_await closing_.wait_for(when_not)) {
    if (closed_ || !ctx_.nc.up() || clock::now() < due) continue;
    changed_ = co_await compare_streams();
    due = clock::now() + (sampled_ && changed_.empty() ? when_well : when_not);
  }
}

// A missing stream is not created here, because its writer reports it. Bucket `lock` is the exception.
task<std::string> store_watch::compare_streams() {
  const auto names = ctx_.names();
  auto store = co_await nats::stream_info(ctx_.nc, names.store());
  auto states = co_await nats::stream_info(ctx_.nc, kv::store_names::stream_of(names.repo()));
  if (!store || !states) co_return changed_;
  auto now = co_await kv::open_store(ctx_.nc, names, ctx_.cfg.kv.partitions, ctx_.cfg.nats.replicas);
  if (!now) co_return now.error().code == errc::mismatch ? now.error().text : changed_;
  sampled_ = store->last_seq > 0 && (co_await kv::note_samples(ctx_.nc, names, *now)).has_value();
  if (!co_await nats::stream_info(ctx_.nc, names.buffer())) co_return changed_;
  auto buffer = co_await open_ingest_stream(ctx_);
  if (!buffer && buffer.error().code == errc::mismatch) co_return buffer.error().text;
  kv::bucket locks(ctx_.nc, names.lock());
  auto lock = co_await locks.open("file", ctx_.cfg.nats.replicas);
  co_return !lock && lock.error().code == errc::mismatch ? lock.error().text : "";
}

task<> store_watch::watch_growth() {
  while (!closed_) {
    co_await closing_.wait_for(growth_reading);
    if (closed_ || !ctx_.nc.up()) continue;
    if (auto store = co_await nats::stream_info(ctx_.nc, ctx_.names().store())) growth_.take(*store, clock::now());
  }
}

}  // namespace recordkv::stages
