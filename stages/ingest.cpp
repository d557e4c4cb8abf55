// The stage `ingest`: from a source to stream `ingest`.
//
// Over 300 lines: the loops beside the reading (cursor, health, who has begun) share the place where it reads, and each
// of their waits is one in which that place may be lost.
//
// Owns: the lock, the source, the fenced publisher, the cursor; start, restart and stop of the reading.
// Refuses to know: what becomes of a frame (frame_intake.hpp), how far the buffer is settled (buffer_mark.hpp).
#include "buffer_mark.hpp"
#include "configured_source.hpp"
#include "cursor.hpp"
#include "followed.hpp"
#include "frame_intake.hpp"
#include "recordkv/core/figures_text.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/kv/owner.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/nats/publisher.hpp"
#include "source_gaps.hpp"
#include "source_lag.hpp"
#include "stages.hpp"
#include "while_starting.hpp"

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using std::chrono::system_clock;

class ingest_stage final : public stage {
 public:
  explicit ingest_stage(stage_context& ctx)
      : figures_{.stage = "ingest", .part = "ingest"},
        ctx_(ctx.counting_in(figures_.counted)),
        owner_(ctx.nc, {.base = "ingest", .replicas = ctx.cfg.nats.replicas, .names = ctx.names()},
               [this] { return report(); }),
        cursor_(ctx.nc, ctx.names(), key_of_source(ctx.cfg)),
        gaps_(ctx.nc, ctx.names(), cursor_.source()),
        outbox_(ctx.nc,
                {.name = "ingest", .stream = ctx.names().buffer(), .fenced = true, .latency = &figures_.publish},
                figures_.counted),
        followed_(ctx.cfg.source.collections, firehose::source_kind_named(ctx.cfg.source.kind).chained),
        intake_(ctx_, cursor_, gaps_, followed_, outbox_, mark_),
        shown_(ctx.board, figures_, [this] { refresh(); }) {}

  std::string_view name() const override { return "ingest"; }

  task<result<void>> run() override {
    const auto closing = [this] { return closing_; };
    // There is one ingester; a second process waits to be the next.
    if (auto mine = co_await while_starting(ctx_, "ingest", [this] { return take_lock(); }, closing); !mine)
      co_return mine;
    // `reset` may have come while this process stood by.
    if (auto there = co_await while_starting(start_again(), "ingest", [this] { return open_all(); }, closing); !there) {
      co_await owner_.release();
      co_return there;
    }
    figures_.running = true;
    nursery children(co_await asio::this_coro::executor);
    owner_.start(children, [this] { stop(); });
    outbox_.start(children);
    children.spawn(keep_cursor());
    children.spawn(watch_health());
    if (!followed_.everything()) children.spawn(learn_begun());
    auto done = co_await follow();
    co_await drain();
    stop();
    figures_.running = false;
    if (failure_ && failure_->code == errc::not_owner) (void)co_await owner_.confirm();  // the lock tells more
    co_await owner_.release();
    co_await children.join();
    if (owner_.lost())
      co_return fail(errc::not_owner, "ingest: another process has taken over; started again, this one stands by");
    if (failure_) co_return *failure_;
    if (done.has_error() && done.error().code == errc::closed) co_return result<void>{};
    co_return done;
  }

  void close() noexcept override {
    closing_ = true;
    intake_.close();
    owner_.abandon();
    if (source_) source_->close();
    give_up_on_a_full_buffer();
    woken_.notify();
  }

 private:
  // A put that waits for room in a buffer that takes nothing would wait for ever; its frame is read again.
  void give_up_on_a_full_buffer() noexcept {
    if (closing_ && !outbox_.trouble().empty()) outbox_.close();
  }

  void stop() noexcept {
    close();
    stopped_ = true;
    outbox_.close();
  }

  task<result<void>> take_lock() {
    if (auto there = co_await open_all(); !there) co_return there;
    co_return co_await owner_.acquire(kv::owner::patience::stand_by);
  }

  // A standby takes over long after its start: that is a start of its own.
  const stage_context& start_again() {
    ctx_.start_until = std::max(ctx_.start_until, steady_clock::now() + ctx_.cfg.nats.start_timeout);
    return ctx_;
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

  // One turn is one reading from one place; it ends when the place must be looked up anew.
  task<result<void>> follow() {
    while (!closing_) {
      co_await ctx_.nc.wait_up();
      if (auto placed = co_await take_place(); !placed) {
        const bool waits = places_ > 0 ? passes(placed.error()) : unanswered(placed.error());
        if (!waits) co_return placed;
        co_await woken_.wait_for(200ms);
        continue;
      }
      auto read = co_await read_frames();
      const bool ended = read.has_error() && read.error().code == errc::closed && !closing_;
      // A file was read to its end. The cursor is still kept, and what the buffer loses is read again.
      while (ended && !closing_ && !out_of_place()) co_await woken_.wait_for(500ms);
      source_.reset();
      if (ended && !closing_) continue;
      if (read.has_error() && read.error().code != errc::conflict) co_return read;
      if (outbox_.halted() == nats::halt::foreign) {
        if (owner_.lost()) co_return fail(errc::not_owner, "ingest: another process writes the buffer");
        log::warn("ingest", "something else wrote to stream {}; going on from the cursor", ctx_.names().buffer());
      }
    }
    co_return result<void>{};
  }

  // X3, X4: the buffer as it is now, and where reading begins.
  task<result<void>> take_place() {
    // Whoever was stopped for a while, or cut off, may have lost the lock without knowing: he asks before he writes.
    if (auto still = co_await owner_.confirm(); !still) co_return still;
    auto stream = co_await open_ingest_stream(ctx_);
    if (!stream) co_return stream.error();
    if (auto known = co_await cursor_.take_over([this] { return !owner_.lost(); }); !known) co_return known;
    auto last = co_await last_buffered(ctx_.nc, ctx_.names());
    if (!last) co_return last.error();
    const auto server = ctx_.nc.server_id();
    const bool was_here = !server_id_.empty() && server_id_ != server;
    const auto at = was_here ? cursor_.at() : cursor_.resume_at(*last, server);
    server_id_ = server;
    place_lost_ = false;
    outbox_.attach(stream->state);
    mark_.begin(stream->state);
    intake_.begin();
    followed_.certain(false);
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
    while (!closing_) {
      while (over_mark_ && !closing_) co_await woken_.wait_for(500ms);
      asked_source_ = steady_clock::now();
      auto frames = co_await source_->next();
      asked_source_.reset();
      redialled_.reset();
      if (out_of_place()) co_return fail(errc::conflict, "the buffer's place was lost");
      if (!frames) co_return frames.error();
      note_lag(*frames);
      for (auto& f : *frames) {
        if (auto passed = co_await intake_.take(std::move(f)); !passed) co_return passed;
      }
    }
    co_return fail(errc::closed, "ingest: closed");
  }

  // Once a second: what the buffer has let go of, what of it is durable, and whether the store is full.
  task<> keep_cursor() {
    while (!stopped_) {
      co_await woken_.wait_for(stopped_ ? 0ms
                                        : std::min<std::chrono::milliseconds>(1000ms, ctx_.cfg.nats.sync_interval));
      give_up_on_a_full_buffer();
      if (!ctx_.nc.up() || stopped_) continue;
      co_await look_at_buffer();
      if (source_ && out_of_place()) source_->close();  // a quiet source must not delay what has to be read again
      if (ctx_.cfg.kv.max_keys > 0) co_await look_at_store();
      if (!gaps_.all().empty()) (void)co_await gaps_.read();  // a person may have acknowledged them
    }
  }

  // Beside the other: NATS may take its time to answer.
  task<> watch_health() {
    while (!stopped_) {
      co_await woken_.wait_for(500ms);
      note_health();
    }
  }

  task<> look_at_buffer() {
    if (!source_ || out_of_place()) co_return;
    const auto asked_of = server_id_;
    const auto asked = std::pair(places_, ctx_.nc.connects());
    auto stream = co_await nats::stream_info(ctx_.nc, ctx_.names().buffer());
    // What was learnt of another server, or before the place was taken anew, says nothing about this reading.
    if (asked != std::pair(places_, ctx_.nc.connects())) co_return;
    const auto now = steady_clock::now();
    place_lost_ = stream ? !mark_.look(*stream, now) : stream.error().code == errc::not_found;
    if (!stream || out_of_place()) co_return;
    const auto settled = mark_.durable(now, 2 * ctx_.cfg.nats.sync_interval);
    if (!settled || settled->seq <= cursor_.value().value_or(0) || stopped_ || owner_.lost()) co_return;
    auto written = co_await cursor_.write(*settled, asked_of);
    if (written.has_error() && written.error().code == errc::not_owner) {
      failure_ = written.error();
      stop();
    }
  }

  task<> look_at_store() {
    auto store = co_await nats::stream_info(ctx_.nc, ctx_.names().store());
    if (!store) co_return;
    const bool over = store->messages >= ctx_.cfg.kv.max_keys;
    if (over != over_mark_)
      log::warn("ingest", "the store holds {} keys, kv.max_keys is {}: ingest {}", store->messages,
                ctx_.cfg.kv.max_keys, over ? "pauses; raise kv.max_keys and restart, or remove keys" : "goes on");
    over_mark_ = over;
  }

  // Who has begun. Accounts that begin from now on pass here; those of an earlier run's frames have their states once
  // these have left the buffer. Only then is it known for certain, and frames of others may be dropped.
  task<> learn_begun() {
    while (!stopped_) {
      if (followed_.is_certain() || !mark_.earlier_run_settled()) {
        co_await woken_.wait_for(500ms);
        continue;
      }
      const auto place = places_;
      auto read = co_await read_begun(ctx_.nc, ctx_.names(), ctx_.facts.api_level, ctx_.counters, followed_.begun(),
                                      [this] { return !stopped_; });
      if (read && place == places_)
        followed_.certain(true);
      else
        co_await woken_.wait_for(500ms);
    }
  }

  // What was read must be in the buffer, or it is read again: nothing is lost either way, so this only has a deadline.
  task<> drain() {
    const auto deadline = steady_clock::now() + 5s;
    while (outbox_.in_flight() > 0 && outbox_.trouble().empty() && steady_clock::now() < deadline)
      co_await outbox_.moved().wait_for(100ms);
  }

  void note_health() {
    auto& ill = figures_.condition;
    const auto now = system_clock::now();
    const auto silent_after = ctx_.cfg.source.silent_after;
    if (!ctx_.nc.up())
      ill.bad(cause::nats_down, "no connection to NATS: " + ctx_.nc.trouble(), now);
    else if (const auto denied = ctx_.nc.denied(); !denied.empty())
      ill.bad(cause::nats_denied, denied, now);
    else if (over_mark_)
      ill.bad(cause::store_full, "the store has reached kv.max_keys", now);
    else if (!outbox_.trouble().empty())
      ill.bad(outbox_.cause_of_trouble(cause::buffer_full), "the buffer takes nothing: " + outbox_.trouble(), now);
    else if (source_ && !source_->trouble().empty() && !redialling())
      ill.bad(cause::source_down, source_->trouble(), now);
    else if (asked_source_ && steady_clock::now() - *asked_source_ > silent_after)
      silent(now);
    else
      ill.good();
    if (source_ && !source_->trouble().empty()) lag_.unreachable(steady_clock::now());
  }

  // A connection may stand on which nothing will ever come again: once, it is made anew.
  void silent(system_clock::time_point now) {
    figures_.condition.bad(cause::source_silent,
                           fmt::format("{} answers and sends nothing (source.silent_after = {} s)", ctx_.cfg.source.url,
                                       std::chrono::floor<std::chrono::seconds>(ctx_.cfg.source.silent_after).count()),
                           now);
    if (redialled_ || !source_) return;
    redialled_ = steady_clock::now();
    source_->redial();
  }
  // What made it silent may also keep the next connection from being answered: it is told as silence for a while.
  bool redialling() const { return redialled_ && steady_clock::now() - *redialled_ < 30s; }

  // A recording has no present to be behind of.
  void note_lag(const std::vector<firehose::frame>& frames) {
    double newest = 0;
    for (const auto& f : frames) newest = std::max(newest, f.info.time);
    if (newest <= 0 || !firehose::source_kind_named(ctx_.cfg.source.kind).remote) return;
    lag_.read(newest, std::chrono::duration<double>(system_clock::now().time_since_epoch()).count());
  }

  void refresh() {
    const auto now = steady_clock::now();
    const auto& c = figures_.counted;
    figures_.standby = owner_.standing_by();
    figures_.events = c.value("source_frames");
    figures_.bytes = c.value("source_bytes");
    figures_.in_flight = outbox_.in_flight() + mark_.standing();
    figures_.oldest_unsettled_seconds = std::max(outbox_.oldest().count(), mark_.oldest_seconds(now));
    figures_.lag_seconds = lag_.seconds(asked_source_, now);
    figures_.source_gaps = gaps_.all().size();
    figures_.source_gap_seconds = gaps_.seconds();
    figures_.cursor_age_seconds = mark_.age_seconds(cursor_.value(), now);
  }

  std::string report() {
    refresh();
    const auto value = cursor_.value();
    return fmt::format(
        R"({{"stage":"ingest","source":"{}","cursor":{},"cursor_time":{},"epoch":{},"frames":{},"buffered":{},"standing":{},"accounts_begun":{},{}}})",
        cursor_.source(), value ? std::to_string(*value) : "null",
        value && cursor_.at()->time > 0 ? '"' + timestamp_of(cursor_.at()->time) + '"' : "null", cursor_.epoch(),
        figures_.events, intake_.buffered(), mark_.standing(), followed_.accounts(), members_of(figures_));
  }

  figures figures_;
  stage_context ctx_;
  kv::owner owner_;
  cursor cursor_;
  source_gaps gaps_;
  nats::publisher outbox_;
  followed followed_;
  buffer_mark mark_;
  frame_intake intake_;
  source_lag lag_;
  std::unique_ptr<firehose::frame_source> source_;
  std::string server_id_;
  std::uint64_t places_ = 0;
  std::optional<steady_clock::time_point> asked_source_;  // since when nothing has come; only while we wait for it
  std::optional<steady_clock::time_point> redialled_;     // because it was silent; nothing has come since
  std::optional<error> failure_;
  bool place_lost_ = false, over_mark_ = false, closing_ = false, stopped_ = false;
  event woken_;
  figures_board::place shown_;
};

}  // namespace

result<std::unique_ptr<stage>> make_ingest(stage_context& ctx) { return std::make_unique<ingest_stage>(ctx); }

}  // namespace recordkv::stages
