// The stage `ingest`: from a source to stream `ingest`.
//
// One file of over 300 lines: the other loops (cursor, health, known accounts) share the reading's position. It may be
// lost during each of their waits.
//
// Owns: the source, the fenced publisher, the cursor; start, restart and stop of the reading.
// Does not know: what becomes of a frame (frame_router.hpp), how far the buffer is settled (buffer_watermark.hpp).
#include "../stages.hpp"
#include "buffer_watermark.hpp"
#include "collection_filter.hpp"
#include "configured_source.hpp"
#include "cursor.hpp"
#include "frame_router.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/source_gaps.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/stage/buffer_stream.hpp"
#include "recordkv/stage/lifecycle.hpp"
#include "source_lag.hpp"

#include <boost/json.hpp>

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr auto retry_pause = 200ms;  // while NATS does not answer
constexpr auto state_check = 500ms;  // of what no event announces: the limit of the store, health, a file's lost place
constexpr auto cursor_check = 1000ms;  // asks NATS what has left the buffer
constexpr auto drain_limit = 5s;       // what is not in the buffer by then is read again after the next start

class ingest_stage final : public stage {
 public:
  explicit ingest_stage(stage_context& outer)
      : life_(outer, "ingest",
              kv::lease_spec{.base = "ingest", .replicas = outer.cfg.nats.replicas, .names = outer.names()}, hooks()),
        cursor_(ctx_.nc, ctx_.names(), key_of_source(ctx_.cfg)),
        gaps_(ctx_.nc, ctx_.names(), cursor_.source()),
        outbox_(ctx_.nc,
                {.name = "ingest", .stream = ctx_.names().buffer(), .fenced = true, .latency = &stats_.publish},
                stats_.counted),
        filter_(ctx_.cfg.needed_collections(), firehose::source_kind_named(ctx_.cfg.source.kind).chained),
        router_(ctx_, cursor_, gaps_, filter_, outbox_, watermark_) {}

  std::string_view name() const override { return "ingest"; }

  task<result<void>> run() override {
    const auto open = [this] { return open_all(); };
    // One process ingests; a second one stands by.
    if (auto mine = co_await life_.acquire(open, kv::lease::wait_policy::stand_by); !mine) co_return mine;
    life_.start_again();
    // `reset` may have removed what was opened while this process stood by.
    if (auto there = co_await life_.while_starting(open); !there) {
      co_await life_.release();
      co_return there;
    }
    co_return co_await life_.run([this](nursery& children) { return work(children); },
                                 "ingest: another process has taken over; started again, this one stands by");
  }

  void close() noexcept override {
    life_.close();
    router_.close();
    if (source_) source_->close();
    give_up_on_a_full_buffer();
    woken_.notify();
  }

 private:
  part_hooks hooks() {
    return {.refresh = [this] { refresh(); },
            .describe = [this](boost::json::object& report) { describe(report); },
            .stop = [this] { stop(); }};
  }

  task<result<void>> work(nursery& children) {
    stats_.running = true;
    outbox_.start(children);
    children.spawn(keep_cursor());
    children.spawn(watch_health());
    if (!filter_.everything()) children.spawn(learn_known_accounts());
    auto done = co_await follow();
    co_await drain();
    stop();
    if (!failure_) co_return done;
    if (failure_->code == errc::lease_lost) (void)co_await life_.renew_if_stale();  // sets lost(), if the lease is lost
    co_return *failure_;
  }

  // A put that waits for room in a full buffer would wait for ever. Its frame is read again after the next start.
  void give_up_on_a_full_buffer() noexcept {
    if (life_.closing() && !outbox_.last_error().empty()) outbox_.close();
  }

  void stop() noexcept {
    close();
    stopped_ = true;
    outbox_.close();
  }

  task<result<void>> open_all() {
    const auto& c = ctx_.cfg;
    auto store = co_await kv::open_store(ctx_.nc, ctx_.names(), c.kv.partitions, c.nats.replicas);
    if (!store) co_return store.error();
    if (auto opened = co_await open_ingest_stream(ctx_); !opened) co_return opened.error();
    auto bucket = co_await cursor_.open(c.nats.replicas);
    if (!bucket) co_return bucket.error();
    if (bucket->made)
      (void)co_await kv::remember_made(ctx_.nc, ctx_.names(), kv::store_names::stream_of(ctx_.names().cursor()));
    co_return co_await gaps_.read();
  }

  // Each round reads from one position. It ends when the position must be determined again.
  task<result<void>> follow() {
    while (!life_.closing()) {
      co_await ctx_.nc.wait_up();
      if (auto placed = co_await take_place(); !placed) {
        const bool waits = places_ > 0 ? passes(placed.error()) : unanswered(placed.error());
        if (!waits) co_return placed;
        co_await woken_.wait_for(retry_pause);
        continue;
      }
      auto read = co_await read_frames();
      const bool ended = read.has_error() && read.error().code == errc::closed && !life_.closing();
      // A file was read to its end. The cursor is still kept, and what the buffer loses is read again.
      while (ended && !life_.closing() && !out_of_place()) co_await woken_.wait_for(state_check);
      source_.reset();
      if (ended && !life_.closing()) continue;
      if (read.has_error() && read.error().code != errc::conflict) co_return read;
      if (outbox_.halted() == nats::halt::foreign) {
        if (life_.lost()) co_return fail(errc::lease_lost, "ingest: another process writes the buffer");
        log::warn("ingest", "another program wrote to stream {}; reading again from the cursor", ctx_.names().buffer());
      }
    }
    co_return result<void>{};
  }

  // X3, X4: takes the buffer as it is now, and decides where reading begins.
  task<result<void>> take_place() {
    // A process that was suspended, or cut off from NATS, may have lost the lease without knowing.
    if (auto still = co_await life_.renew_if_stale(); !still) co_return still;
    auto stream = co_await open_ingest_stream(ctx_);
    if (!stream) co_return stream.error();
    if (auto known = co_await cursor_.take_over([this] { return !life_.lost(); }); !known) co_return known;
    auto last = co_await last_buffered(ctx_.nc, ctx_.names());
    if (!last) co_return last.error();
    const auto server = ctx_.nc.server_id();
    const bool was_here = !server_id_.empty() && server_id_ != server;
    const auto at = was_here ? cursor_.at() : cursor_.resume_at(*last, server);
    server_id_ = server;
    place_lost_ = false;
    outbox_.attach(stream->state);
    watermark_.begin(stream->state);
    router_.begin();
    filter_.certain(false);
    ++places_;
    source_ = make_source(ctx_, at);
    log::info("ingest", "following {} {} from {}", ctx_.cfg.source.kind, ctx_.cfg.source.url,
              at ? std::to_string(at->seq) : ctx_.cfg.source.start);
    co_return result<void>{};
  }

  bool out_of_place() const {
    return place_lost_ || outbox_.halted() != nats::halt::none || (ctx_.nc.up() && ctx_.nc.server_id() != server_id_);
  }

  task<result<void>> read_frames() {
    while (!life_.closing()) {
      while (over_limit_ && !life_.closing()) co_await woken_.wait_for(state_check);
      asked_source_ = steady_clock::now();
      auto frames = co_await source_->next();
      asked_source_.reset();
      redialled_.reset();
      if (out_of_place()) co_return fail(errc::conflict, "the buffer's place was lost");
      if (!frames) co_return frames.error();
      note_lag(*frames);
      if (auto taken = co_await router_.take(std::move(*frames)); !taken) co_return taken;
    }
    co_return fail(errc::closed, "ingest: closed");
  }

  // Once a second: what has left the buffer, what of it is durable, and whether the store is full.
  task<> keep_cursor() {
    while (!stopped_) {
      co_await woken_.wait_for(
          stopped_ ? 0ms : std::min<std::chrono::milliseconds>(cursor_check, ctx_.cfg.nats.sync_interval));
      give_up_on_a_full_buffer();
      if (!ctx_.nc.up() || stopped_) continue;
      co_await look_at_buffer();
      if (source_ && out_of_place()) source_->close();  // a quiet source must not delay the new reading
      if (ctx_.cfg.kv.max_keys > 0) co_await look_at_store();
      if (!gaps_.all().empty()) (void)co_await gaps_.read();  // a user may have acknowledged them
    }
  }

  // A loop of its own, because NATS may take seconds to answer.
  task<> watch_health() {
    while (!stopped_) {
      co_await woken_.wait_for(state_check);
      life_.note_health(stall());
      if (source_ && !source_->last_error().empty()) lag_.unreachable(steady_clock::now());
    }
  }

  task<> look_at_buffer() {
    if (!source_ || out_of_place()) co_return;
    const auto asked_of = server_id_;
    const auto asked = std::pair(places_, ctx_.nc.connects());
    auto stream = co_await nats::stream_info(ctx_.nc, ctx_.names().buffer());
    // An answer from another server, or from before the reading began again, says nothing about this reading.
    if (asked != std::pair(places_, ctx_.nc.connects())) co_return;
    const auto now = steady_clock::now();
    place_lost_ = stream ? !watermark_.look(*stream, now) : stream.error().code == errc::not_found;
    if (!stream || out_of_place()) co_return;
    const auto settled = watermark_.durable(now, 2 * ctx_.cfg.nats.sync_interval);
    if (!settled || settled->seq <= cursor_.value().value_or(0) || stopped_ || life_.lost()) co_return;
    auto written = co_await cursor_.write(*settled, asked_of);
    if (written.has_error() && written.error().code == errc::lease_lost) {
      failure_ = written.error();
      stop();
    }
  }

  task<> look_at_store() {
    auto store = co_await nats::stream_info(ctx_.nc, ctx_.names().store());
    if (!store) co_return;
    const bool over = store->messages >= ctx_.cfg.kv.max_keys;
    if (over != over_limit_)
      log::warn("ingest", "the store holds {} keys, kv.max_keys is {}: ingest {}", store->messages,
                ctx_.cfg.kv.max_keys, over ? "pauses; raise kv.max_keys and restart, or remove keys" : "goes on");
    over_limit_ = over;
  }

  // Reads which accounts have a state. The filter adds the accounts of frames that pass from now on. The accounts of
  // an earlier run's frames have their states once these frames have left the buffer. Only then is the list complete,
  // and frames of other accounts may be dropped.
  task<> learn_known_accounts() {
    while (!stopped_) {
      if (filter_.is_certain() || !watermark_.earlier_run_settled()) {
        co_await woken_.wait_for(state_check);
        continue;
      }
      const auto place = places_;
      auto read = co_await kv::read_known_accounts(ctx_.nc, ctx_.names(), ctx_.facts.api_level, ctx_.counters,
                                                   filter_.known(), [this] { return !stopped_; });
      if (read && place == places_)
        filter_.certain(true);
      else
        co_await woken_.wait_for(state_check);
    }
  }

  // Waits until what was read is in the buffer. What is not is read again, so a deadline bounds the wait.
  task<> drain() {
    const auto deadline = steady_clock::now() + drain_limit;
    while (outbox_.in_flight() > 0 && outbox_.last_error().empty() && steady_clock::now() < deadline)
      co_await outbox_.moved().wait_for(retry_pause);
  }

  stall_reason stall() {
    if (over_limit_) return {cause::store_full, "the store has reached kv.max_keys"};
    if (!outbox_.last_error().empty())
      return {outbox_.stall_reason(cause::buffer_full), "the buffer takes nothing: " + outbox_.last_error()};
    if (source_ && !source_->last_error().empty() && !redialling()) return {cause::source_down, source_->last_error()};
    if (asked_source_ && steady_clock::now() - *asked_source_ > ctx_.cfg.source.silent_after) return silence();
    return {};
  }

  // A connection may be up although no frame will ever come on it. It is made again once.
  stall_reason silence() {
    if (!redialled_ && source_ && ctx_.nc.up()) {
      redialled_ = steady_clock::now();
      source_->redial();
    }
    return {cause::source_silent,
            fmt::format("{} answers and sends nothing (source.silent_after = {} s)", ctx_.cfg.source.url,
                        std::chrono::floor<std::chrono::seconds>(ctx_.cfg.source.silent_after).count())};
  }
  // What made the source silent may also keep the next connection unanswered. That is reported as silence for a while.
  bool redialling() const { return redialled_ && steady_clock::now() - *redialled_ < 30s; }

  // A recording has no present, so it has no lag.
  void note_lag(const std::vector<firehose::frame>& frames) {
    double newest = 0;
    for (const auto& f : frames) newest = std::max(newest, f.info.time);
    if (newest <= 0 || !firehose::source_kind_named(ctx_.cfg.source.kind).remote) return;
    lag_.read(newest, std::chrono::duration<double>(system_clock::now().time_since_epoch()).count());
  }

  void refresh() {
    const auto now = steady_clock::now();
    const auto& c = stats_.counted;
    stats_.standby = life_.standing_by();
    stats_.events = c.value("source_frames");
    stats_.bytes = c.value("source_bytes");
    stats_.in_flight = outbox_.in_flight() + watermark_.standing();
    stats_.oldest_unsettled_seconds = std::max(outbox_.oldest().count(), watermark_.oldest_seconds(now));
    stats_.lag_seconds = lag_.seconds(asked_source_, now);
    stats_.source_gaps = gaps_.all().size();
    stats_.source_gap_seconds = gaps_.seconds();
    stats_.cursor_age_seconds = watermark_.age_seconds(cursor_.value(), now);
  }

  void describe(boost::json::object& report) const {
    const auto cursor = cursor_.value();
    report["source"] = cursor_.source();
    report["cursor"] = cursor ? boost::json::value(*cursor) : nullptr;
    const auto time = cursor ? cursor_.at()->time : 0;
    report["cursor_time"] = time > 0 ? boost::json::value(timestamp_of(time)) : nullptr;
    report["epoch"] = cursor_.epoch();
    report["frames"] = stats_.events;
    report["buffered"] = router_.buffered();
    report["standing"] = watermark_.standing();
    report["accounts_begun"] = filter_.accounts();
  }

  lifecycle life_;
  part_stats& stats_ = life_.stats();
  stage_context& ctx_ = life_.context();
  cursor cursor_;
  kv::source_gaps gaps_;
  nats::publisher outbox_;
  collection_filter filter_;
  buffer_watermark watermark_;
  frame_router router_;
  source_lag lag_;
  std::unique_ptr<firehose::frame_source> source_;
  std::string server_id_;
  std::uint64_t places_ = 0;
  std::optional<steady_clock::time_point>
      asked_source_;                                   // since when nothing has come; only while the source is awaited
  std::optional<steady_clock::time_point> redialled_;  // because of silence; nothing has come since
  std::optional<error> failure_;
  bool place_lost_ = false, over_limit_ = false, stopped_ = false;
  event woken_;
};

}  // namespace

result<std::unique_ptr<stage>> make_ingest(stage_context& ctx) { return std::make_unique<ingest_stage>(ctx); }

}  // namespace recordkv::stages
