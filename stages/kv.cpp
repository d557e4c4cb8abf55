// The stage `kv`: from stream `ingest` to the store.
//
// Owns: the lock, the durable consumer, the publisher into the store, bucket `repo`'s writes, and their start and stop.
// Refuses to know: what is applied and when it is done (kv_apply.hpp).
#include "kv_apply.hpp"
#include "recordkv/core/figures_text.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/owner.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/nats/pull_consumer.hpp"
#include "repo_states.hpp"
#include "stages.hpp"
#include "store_growth.hpp"
#include "while_starting.hpp"

#include <algorithm>

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;

// Which collections a state was stored under: another hash means that the filter has changed since.
std::string filter_hash(std::vector<std::string> collections) {
  std::sort(collections.begin(), collections.end());
  return fmt::format("{:08x}", kv::murmur3(fmt::format("{}", fmt::join(collections, ","))));
}

class kv_stage final : public stage {
 public:
  kv_stage(stage_context& ctx, kv::claim share)
      : share_(std::move(share)),
        figures_{.stage = "kv", .part = share_.key()},
        ctx_(ctx.counting_in(figures_.counted)),
        owner_(ctx.nc, share_, [this] { return report(); }),
        states_(ctx_, owner_),
        inbox_(ctx.nc, consumer(), figures_.counted, ctx.facts.api_level),
        outbox_(ctx.nc, store_writer(), figures_.counted),
        apply_(inbox_, outbox_, states_.port(), rules(), figures_.counted),
        shown_(ctx.board, figures_, [this] { refresh(); }) {}

  std::string_view name() const override { return "kv"; }

  task<result<void>> run() override {
    if (auto opened = co_await while_starting(
            ctx_, "kv", [this] { return open_all(); }, [this] { return closing_; });
        !opened)
      co_return opened;
    nursery children(co_await asio::this_coro::executor);
    owner_.start(children, [this] { stop_hard(); });
    // The state as it is now, after the lock: the process that had it before has stopped writing.
    result<nats::stream_state> now = nats::stream_state{};
    auto attached = co_await while_starting(
        ctx_, "kv", [this, &now] { return attach(now); }, [this] { return closing_ || owner_.lost(); });
    if (attached) {
      outbox_.attach(*now);
      log::info("kv", "writing bucket {} ({} keys), {} of {} partitions", ctx_.cfg.kv.bucket, now->messages,
                share_.share->labels().size(), ctx_.cfg.kv.partitions);
      figures_.running = true;
      attached = co_await work(children);
      figures_.running = false;
    }
    co_await owner_.release();
    co_await children.join();
    if (attached.has_error() && attached.error().code == errc::closed) co_return result<void>{};
    co_return attached;
  }

  void close() noexcept override {
    closing_ = true;
    owner_.abandon();
    inbox_.close();
  }

 private:
  task<result<void>> open_all() {
    auto store = co_await kv::open_store(ctx_.nc, ctx_.names(), ctx_.cfg.kv.partitions, ctx_.cfg.nats.replicas);
    if (!store) co_return store.error();
    if (auto opened = co_await open_ingest_stream(ctx_); !opened) co_return opened.error();
    co_return co_await owner_.acquire();
  }

  task<result<void>> attach(result<nats::stream_state>& now) {
    now = co_await nats::stream_info(ctx_.nc, ctx_.names().store());
    if (!now) co_return now.error();
    if (auto removed = co_await remove_left_durables(ctx_.nc, ctx_.names().buffer(), share_); !removed)
      co_return removed;
    co_return co_await inbox_.attach();
  }

  nats::consumer_spec consumer() {
    // Every message of the work queue passes here; more may be delivered than is acknowledged for a while.
    nats::consumer_spec spec{.stream = ctx_.names().buffer(),
                             .durable = share_.key(),
                             .policy = nats::acks::each,
                             .made_anew = true,
                             .stream_returns = true,
                             .still_ours = [this] { return owner_.confirm(); },
                             .credit = 2048};
    if (!share_.share->all())
      for (const auto& label : share_.share->labels()) spec.filters.push_back(ctx_.names().buffer_subject(label));
    return spec;
  }

  // Puts into the store are not fenced, so nothing is sent while the lock may be another's: an old value on top of his
  // newer one would stay (X7).
  nats::publisher_spec store_writer() {
    return {.name = "kv",
            .stream = ctx_.names().store(),
            .permit = {.valid = [this] { return owner_.fresh(); }, .renew = [this] { return still_ours(); }},
            .latency = &figures_.publish};
  }

  task<bool> still_ours() {
    auto ours = co_await owner_.confirm();
    co_return ours.has_value();
  }

  apply_rules rules() const {
    const auto& c = ctx_.cfg;
    return {.partitions = c.kv.partitions,
            .bucket = c.kv.bucket,
            .collections = c.source.collections,
            .filter = filter_hash(c.source.collections),
            .gather = 250ms};
  }

  task<result<void>> work(nursery& children) {
    outbox_.start(children);
    result<void> took;
    result<void> settled;
    nursery pair(co_await asio::this_coro::executor);
    pair.spawn(take_into(took));
    pair.spawn(settle_into(settled));
    pair.spawn(watch_store());
    pair.spawn(watch_consumer());
    pair.spawn(watch_growth());
    pair.spawn(look_after_store());
    pair.spawn(states_.learn_begun([this] { return !settled_; }));
    co_await pair.join();
    outbox_.close();
    if (owner_.lost()) co_return fail(errc::not_owner, "kv: another process has taken over");
    if (outbox_.halted() != nats::halt::none)
      co_return fail(errc::refused, "kv: the store's stream: {}", outbox_.last_error());  // the next start tells more
    co_return settled.has_error() ? settled : took;
  }

  task<> take_into(result<void>& r) {
    r = co_await apply_.take();
    took_ = true;
    if (r.has_error() && r.error().code != errc::closed) apply_.abandon();
  }

  task<> settle_into(result<void>& r) {
    r = co_await apply_.settle();
    inbox_.close();
    settled_ = true;
    states_.give_up();
    done_.notify();
  }

  // A store that was removed or recreated under us can't be mended here: the work ends, with the reason.
  task<> watch_store() {
    while (!settled_) {
      co_await done_.wait_for(200ms);
      if (outbox_.halted() != nats::halt::none) stop_hard();
      note_health();
    }
  }

  // Beside the other: NATS may take its time to answer.
  task<> watch_consumer() {
    while (!settled_) {
      co_await done_.wait_for(500ms);
      not_moving_ = co_await inbox_.why_not_moving(5s);
    }
  }

  // The settings of what the store is made of, which another program may change, and the witness of what it is.
  task<> look_after_store() {
    using clock = std::chrono::steady_clock;
    for (auto due = clock::now(); !settled_; co_await done_.wait_for(1s)) {
      if (settled_ || !ctx_.nc.up() || clock::now() < due) continue;
      changed_ = co_await compare_streams();
      due = clock::now() + (noted_ && changed_.empty() ? 30s : 1s);
    }
  }

  /// What breaks the contract, with both values, or empty. Nothing is made: what has gone is told by its writer.
  task<std::string> compare_streams() {
    const auto names = ctx_.names();
    auto store = co_await nats::stream_info(ctx_.nc, names.store());
    auto states = co_await nats::stream_info(ctx_.nc, kv::store_names::stream_of(names.repo()));
    if (!store || !states) co_return changed_;
    auto now = co_await kv::open_store(ctx_.nc, names, ctx_.cfg.kv.partitions, ctx_.cfg.nats.replicas);
    if (!now) co_return now.error().code == errc::mismatch ? now.error().text : changed_;
    noted_ = store->last_seq > 0 && (co_await kv::note_samples(ctx_.nc, names, *now)).has_value();
    if (!co_await nats::stream_info(ctx_.nc, names.buffer())) co_return changed_;
    auto buffer = co_await open_ingest_stream(ctx_);
    if (!buffer && buffer.error().code == errc::mismatch) co_return buffer.error().text;
    kv::bucket locks(ctx_.nc, names.lock());
    auto lock = co_await locks.open("file", ctx_.cfg.nats.replicas);
    co_return !lock && lock.error().code == errc::mismatch ? lock.error().text : "";
  }

  task<> watch_growth() {
    while (!settled_) {
      co_await done_.wait_for(1s);
      if (settled_ || !ctx_.nc.up()) continue;
      if (auto store = co_await nats::stream_info(ctx_.nc, ctx_.names().store()))
        growth_.take(*store, std::chrono::steady_clock::now());
    }
  }

  void stop_hard() noexcept {
    inbox_.close();
    outbox_.close();
    apply_.abandon();
  }

  void note_health() {
    auto& ill = figures_.condition;
    const auto now = std::chrono::system_clock::now();
    const auto floor = outbox_.floor();
    quiet_ = apply_.unsettled() == 0 || floor != last_floor_ ? 0 : quiet_ + 1;
    last_floor_ = floor;
    if (!ctx_.nc.up())
      ill.bad(cause::nats_down, "no connection to NATS: " + ctx_.nc.trouble(), now);
    else if (const auto denied = ctx_.nc.denied(); !denied.empty())
      ill.bad(cause::nats_denied, denied, now);
    else if (!outbox_.last_error().empty())
      ill.bad(outbox_.stall_reason(cause::store_full), "the store takes nothing: " + outbox_.last_error(), now);
    else if (quiet_ > 25)
      ill.bad(cause::store_refuses, "nothing settles: the store does not answer", now);
    else if (!changed_.empty())
      ill.bad(cause::store_refuses, changed_, now);
    else if (!not_moving_.empty())
      ill.bad(cause::consumer_not_moving, not_moving_, now);
    else
      ill.good();
  }

  void refresh() {
    figures_.events = inbox_.taken().messages;
    figures_.bytes = inbox_.taken().bytes;
    figures_.lag_messages = inbox_.pending();
    figures_.lag_seconds = inbox_.lag_seconds();
    figures_.in_flight = apply_.unsettled();
    const auto oldest = apply_.oldest();
    figures_.oldest_unsettled_seconds =
        oldest ? std::chrono::duration<double>(std::chrono::steady_clock::now() - *oldest).count() : 0;
  }

  std::string report() {
    refresh();
    const auto& c = figures_.counted;
    return fmt::format(
        R"({{"stage":"kv","written":{},"deleted":{},"commits":{},"stale_since_start":{},"rewinds":{},{}{}}})",
        c.value("records_written"), c.value("records_deleted"), c.value("commits"), apply_.stale_seen(),
        c.value("consumer_rewinds"), growth_.members(), members_of(figures_));
  }

  kv::claim share_;
  figures figures_;
  stage_context ctx_;
  kv::owner owner_;
  repo_states states_;
  nats::pull_consumer inbox_;
  nats::publisher outbox_;
  kv_apply apply_;
  store_growth growth_;
  std::string not_moving_;
  std::string changed_;  // by another program: settings of a stream of ours
  bool noted_ = false;
  nats::ordinal last_floor_ = 0;
  int quiet_ = 0;
  bool closing_ = false;
  bool took_ = false;
  bool settled_ = false;
  event done_;
  figures_board::place shown_;
};

}  // namespace

result<std::unique_ptr<stage>> make_kv(stage_context& ctx) {
  auto share = claim_of("kv", ctx.cfg.kv.assign, ctx.cfg);
  if (!share) return share.error();
  return std::make_unique<kv_stage>(ctx, std::move(*share));
}

}  // namespace recordkv::stages
