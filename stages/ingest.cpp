// The stage `ingest`: from a source to stream `ingest`.
//
// Owns: the lock, the source, the fenced publisher, the cursor and its floor; start, restart and stop of the reading.
// Refuses to know: what stands in a frame beyond the glance.
#include "configured_source.hpp"
#include "cursor.hpp"
#include "followed.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/owner.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/pipe/cursor_floor.hpp"
#include "stages.hpp"

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;
using firehose::frame;
using std::chrono::steady_clock;
using std::chrono::system_clock;

class ingest_stage final : public stage {
 public:
  explicit ingest_stage(stage_context& ctx)
      : ctx_(ctx),
        owner_(ctx.nc, "ingest", [this] { return report(); }),
        cursor_(ctx.nc, source_name(ctx.cfg)),
        outbox_(ctx.nc, {.name = "ingest", .stream = "ingest", .fenced = true}, ctx.counters),
        followed_(ctx.cfg.source.collections, ctx.cfg.source.kind != "jetstream") {}

  std::string_view name() const override { return "ingest"; }

  task<result<void>> run() override {
    if (auto store =
            co_await kv::open_store(ctx_.nc, ctx_.cfg.kv.bucket, ctx_.cfg.kv.partitions, ctx_.cfg.nats.replicas);
        !store)
      co_return store.error();
    if (auto opened = co_await open_ingest_stream(ctx_); !opened) co_return opened.error();
    auto bucket = co_await cursor_.open(ctx_.cfg.nats.replicas);
    if (!bucket) co_return bucket.error();
    if (bucket->made) (void)co_await kv::remember_made(ctx_.nc, "KV_cursor");
    if (auto mine = co_await owner_.acquire(); !mine) co_return mine;
    nursery children(co_await asio::this_coro::executor);
    owner_.start(children, [this] { stop(); });
    outbox_.start(children);
    children.spawn(keep_cursor());
    if (!followed_.everything()) children.spawn(learn_begun());
    auto done = co_await follow();
    co_await drain();
    stop();
    co_await owner_.release();
    co_await children.join();
    if (failure_) co_return *failure_;
    if (done.has_error() && done.error().code == errc::closed) co_return result<void>{};
    co_return done;
  }

  void close() noexcept override {
    closing_ = true;
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

  // One turn is one reading from one place; it ends when the place must be looked up anew.
  task<result<void>> follow() {
    while (!closing_) {
      co_await ctx_.nc.wait_up();
      if (auto placed = co_await take_place(); !placed) {
        if (placed.error().code != errc::timed_out && placed.error().code != errc::unreachable) co_return placed;
        co_await woken_.wait_for(200ms);
        continue;
      }
      auto read = co_await read_frames();
      const bool ended = read.has_error() && read.error().code == errc::closed && !closing_;
      while (ended && !closing_) co_await woken_.wait();  // a file was read to its end; the cursor is still kept
      source_.reset();
      if (read.has_error() && read.error().code != errc::conflict) co_return read;
      if (outbox_.halted() == nats::halt::foreign) {
        if (owner_.lost()) co_return fail(errc::not_owner, "ingest: another process writes the buffer");
        log::warn("ingest", "something else wrote to stream ingest; going on from the cursor");
      }
    }
    co_return result<void>{};
  }

  // X3, X4: the buffer as it is now, and where reading begins.
  task<result<void>> take_place() {
    auto stream = co_await open_ingest_stream(ctx_);
    if (!stream) co_return stream.error();
    if (auto known = co_await cursor_.read(); !known) co_return known;
    auto last = co_await last_buffered(ctx_.nc);
    if (!last) co_return last.error();
    const auto server = ctx_.nc.server_id();
    const bool was_here = !server_id_.empty() && server_id_ != server;
    const auto at = was_here ? cursor_.value() : cursor_.resume_at(*last, server);
    server_id_ = server;
    floor_.clear();
    place_lost_ = false;
    outbox_.attach(stream->state);
    buffer_created_ = stream->state.created;
    earlier_run_ends_ = stream->state.messages > 0 ? stream->state.last_seq : 0;
    earlier_run_settled_ = false;
    followed_.certain(false);
    ++places_;
    source_ = make_source(ctx_, at);
    log::info("ingest", "following {} {} from {}", ctx_.cfg.source.kind, ctx_.cfg.source.url,
              at ? std::to_string(*at) : ctx_.cfg.source.start);
    co_return result<void>{};
  }

  bool out_of_place() const {
    return place_lost_ || outbox_.halted() != nats::halt::none || (ctx_.nc.up() && ctx_.nc.server_id() != server_id_);
  }

  task<result<void>> read_frames() {
    while (!closing_) {
      while (over_mark_ && !closing_) co_await woken_.wait_for(500ms);
      auto frames = co_await source_->next();
      if (out_of_place()) co_return fail(errc::conflict, "the buffer's place was lost");
      if (!frames) co_return frames.error();
      last_frame_ = system_clock::now();
      for (auto& f : *frames) {
        if (f.what != frame::notice::none) {
          if (auto noted = co_await take_notice(f); !noted) co_return noted;
          continue;
        }
        if (auto passed = co_await pass(std::move(f)); !passed) co_return passed;
      }
    }
    co_return fail(errc::closed, "ingest: closed");
  }

  task<result<void>> pass(frame f) {
    const auto seq = f.info.seq;
    if (seq > 0) passed_seq_ = seq;
    if (seq == 0 && f.info.kind != atproto::event_kind::unknown) co_return result<void>{};
    if (!cursor_.value() && seq > 0)  // "live" means one place from now on
      if (auto begun = co_await write_cursor(seq - 1); !begun) co_return begun;
    if (!followed_.wants(f.info)) {
      ctx_.counters.add("ingest_dropped", f.info.kind == atproto::event_kind::unknown ? "unknown" : "not_followed");
      if (seq > 0) floor_.dropped(seq, steady_clock::now());
      co_return result<void>{};
    }
    co_return co_await buffer(std::move(f.bytes), f.info.did, seq);
  }

  task<result<void>> buffer(std::string bytes, const std::string& did, std::uint64_t seq) {
    const auto subject = "ingest." + kv::partition_of(did, ctx_.cfg.kv.partitions);
    nats::header_list headers;
    headers.reserve(4);
    headers.push_back({"source", cursor_.source()});
    headers.push_back({"seq", std::to_string(seq)});
    headers.push_back({"epoch", std::to_string(cursor_.epoch())});
    auto marker_headers = headers;
    auto put = co_await outbox_.put(subject, std::move(headers), std::move(bytes));
    if (!put && put.error().code == errc::too_large) {
      ctx_.counters.add("ingest_markers", "oversize");
      put = co_await outbox_.put(subject, std::move(marker_headers),
                                 fmt::format(R"({{"marker":"oversize","did":"{}"}})", did));
    }
    if (!put) co_return put.error();
    floor_.accepted(outbox_.sequence_of(*put), seq);
    ++buffered_;
    co_return result<void>{};
  }

  task<result<void>> take_notice(const frame& f) {
    switch (f.what) {
      case frame::notice::outdated_cursor:
        ctx_.counters.add("ingest_notices", "outdated_cursor");
        log::warn("ingest", "{} no longer has everything since our cursor: accounts may be stale", ctx_.cfg.source.url);
        break;
      case frame::notice::future_cursor:
        ctx_.counters.add("ingest_notices", "future_cursor");
        log::warn("ingest", "{} counts from lower numbers than our cursor: a new epoch begins", ctx_.cfg.source.url);
        floor_.clear();
        cursor_.begin_epoch();
        break;
      case frame::notice::unreadable:
        ctx_.counters.add("ingest_markers", f.info.did.empty() ? "unreadable_unknown" : "unreadable");
        if (f.info.did.empty()) break;
        co_return co_await buffer(fmt::format(R"({{"marker":"unreadable","did":"{}"}})", f.info.did), f.info.did,
                                  passed_seq_);  // it has no number: it counts with the one before
      case frame::notice::none: break;
    }
    co_return result<void>{};
  }

  task<result<void>> write_cursor(std::uint64_t value) {
    for (;;) {
      auto written = co_await cursor_.write(value, ctx_.nc.server_id());
      if (written || (written.error().code != errc::timed_out && written.error().code != errc::unreachable) || closing_)
        co_return written;
      co_await woken_.wait_for(200ms);
    }
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
      note_health();
    }
  }

  task<> look_at_buffer() {
    if (!source_ || out_of_place()) co_return;
    const auto asked_of = server_id_;
    const auto asked = std::pair(places_, ctx_.nc.connects());
    auto stream = co_await nats::stream_info(ctx_.nc, "ingest");
    // What was learnt of another server, or before the place was taken anew, says nothing about this reading.
    if (asked != std::pair(places_, ctx_.nc.connects())) co_return;
    place_lost_ = stream ? stream->created != buffer_created_ : stream.error().code == errc::not_found;
    if (!stream || out_of_place()) co_return;
    standing_ = stream->messages;
    const auto now = steady_clock::now();
    floor_.settled_below(stream->first_seq, now);
    earlier_run_settled_ = stream->first_seq > earlier_run_ends_;
    const auto settled = floor_.durable(now, 2 * ctx_.cfg.nats.sync_interval);
    if (!settled || settled == cursor_.value()) co_return;
    auto written = co_await cursor_.write(*settled, asked_of);
    if (written.has_error() && written.error().code == errc::not_owner) {
      failure_ = written.error();
      stop();
    }
  }

  task<> look_at_store() {
    auto store = co_await nats::stream_info(ctx_.nc, "KV_" + ctx_.cfg.kv.bucket);
    if (!store) co_return;
    const bool over = store->messages >= ctx_.cfg.kv.max_keys;
    if (over != over_mark_)
      log::warn("ingest", "the store holds {} keys, kv.max_keys is {}: ingest {}", store->messages,
                ctx_.cfg.kv.max_keys, over ? "pauses; raise kv.max_keys or narrow source.collections" : "goes on");
    over_mark_ = over;
  }

  // Who has begun. Accounts that begin from now on pass here; those of an earlier run's frames have their states once
  // these have left the buffer. Only then is it known for certain, and frames of others may be dropped.
  task<> learn_begun() {
    while (!stopped_) {
      if (followed_.is_certain() || !earlier_run_settled_) {
        co_await woken_.wait_for(500ms);
        continue;
      }
      const auto place = places_;
      auto read = co_await read_begun(ctx_.nc, ctx_.facts.api_level, ctx_.counters, followed_.begun(),
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
    const auto now = system_clock::now();
    if (over_mark_)
      health_.bad("the store has reached kv.max_keys", now);
    else if (!outbox_.trouble().empty())
      health_.bad("the buffer takes nothing: " + outbox_.trouble(), now);
    else if (source_ && !source_->trouble().empty())
      health_.bad(source_->trouble(), now);
    else if (last_frame_ != system_clock::time_point{} && now - last_frame_ > 60s)
      health_.bad("the source is silent", now);
    else
      health_.good();
  }

  std::string report() const {
    const auto& c = ctx_.counters;
    const auto value = cursor_.value();
    return fmt::format(
        R"({{"stage":"ingest","source":"{}","cursor":{},"epoch":{},"frames":{},"buffered":{},"standing":{},"in_flight":{},"accounts_begun":{}{}}})",
        cursor_.source(), value ? std::to_string(*value) : "null", cursor_.epoch(), c.value("source_frames"), buffered_,
        standing_, outbox_.in_flight(), followed_.accounts(), report_tail(health_, c, "ingest_"));
  }

  stage_context& ctx_;
  kv::owner owner_;
  cursor cursor_;
  nats::publisher outbox_;
  followed followed_;
  pipe::cursor_floor floor_;
  std::unique_ptr<firehose::frame_source> source_;
  std::string server_id_, buffer_created_;
  std::uint64_t earlier_run_ends_ = 0, standing_ = 0, buffered_ = 0, passed_seq_ = 0, places_ = 0;
  system_clock::time_point last_frame_;
  health health_;
  std::optional<error> failure_;
  bool earlier_run_settled_ = false, place_lost_ = false, over_mark_ = false, closing_ = false, stopped_ = false;
  event woken_;
};

}  // namespace

result<std::unique_ptr<stage>> make_ingest(stage_context& ctx) { return std::make_unique<ingest_stage>(ctx); }

}  // namespace recordkv::stages
