// The stage `kv`: from stream `ingest` to the store.
//
// Owns: the lock, the durable consumer, the publisher into the store, bucket `repo`'s writes, and their start and stop.
// Refuses to know: what is applied and when it is done (kv_apply.hpp).
#include "begun_accounts.hpp"
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
#include "stages.hpp"

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
        repo_(ctx.nc, "repo"),
        inbox_(ctx.nc, consumer(), figures_.counted, ctx.facts.api_level),
        outbox_(ctx.nc, store_writer(), figures_.counted),
        apply_(inbox_, outbox_, states(), rules(), figures_.counted),
        shown_(ctx.board, figures_, [this] { refresh(); }) {}

  std::string_view name() const override { return "kv"; }

  task<result<void>> run() override {
    auto store = co_await kv::open_store(ctx_.nc, ctx_.cfg.kv.bucket, ctx_.cfg.kv.partitions, ctx_.cfg.nats.replicas);
    if (!store) co_return store.error();
    if (auto opened = co_await open_ingest_stream(ctx_); !opened) co_return opened.error();
    if (auto mine = co_await owner_.acquire(); !mine) co_return mine;
    nursery children(co_await asio::this_coro::executor);
    owner_.start(children, [this] { stop_hard(); });
    // The state as it is now, after the lock: whoever had it before has stopped writing.
    auto now = co_await nats::stream_info(ctx_.nc, "KV_" + ctx_.cfg.kv.bucket);
    auto attached = now ? co_await remove_left_durables(ctx_.nc, "ingest", share_) : result<void>(now.error());
    if (attached) attached = co_await inbox_.attach();
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
    owner_.abandon();
    inbox_.close();
  }

 private:
  nats::consumer_spec consumer() {
    // Every message of the work queue passes here; more may be delivered than is acknowledged for a while.
    nats::consumer_spec spec{.stream = "ingest",
                             .durable = share_.key(),
                             .policy = nats::acks::each,
                             .stream_returns = true,
                             .still_ours = [this] { return owner_.confirm(); },
                             .credit = 2048};
    if (!share_.share->all())
      for (const auto& label : share_.share->labels()) spec.filters.push_back("ingest." + label);
    return spec;
  }

  // Puts into the store are not fenced, so nothing is sent while the lock may be another's: an old value on top of his
  // newer one would stay (X7).
  nats::publisher_spec store_writer() {
    return {.name = "kv",
            .stream = "KV_" + ctx_.cfg.kv.bucket,
            .leave = {.fresh = [this] { return owner_.fresh(); }, .renew = [this] { return still_ours(); }},
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

  state_port states() {
    return {.load = [this](std::vector<std::string> dids) { return load(std::move(dids)); },
            .save = [this](std::vector<state_port::stored> s) { return save(std::move(s)); }};
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
    pair.spawn(learn_begun());
    co_await pair.join();
    outbox_.close();
    if (owner_.lost()) co_return fail(errc::not_owner, "kv: another process has taken over");
    if (outbox_.halted() != nats::halt::none)
      co_return fail(errc::refused, "kv: the store's stream: {}", outbox_.trouble());  // the next start tells more
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

  // Only this stage writes states: once those that stood at the start are known, an account outside has none, and
  // looking for it would cost a round trip for each account of the network.
  task<> learn_begun() {
    auto read = co_await read_begun(ctx_.nc, ctx_.facts.api_level, ctx_.counters, begun_, [this] { return !settled_; });
    begun_known_ = read.has_value();
    if (begun_known_) log::info("kv", "{} accounts have begun", begun_.size());
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
    else if (!outbox_.trouble().empty())
      ill.bad(outbox_.cause_of_trouble(cause::store_full), "the store takes nothing: " + outbox_.trouble(), now);
    else if (quiet_ > 25)
      ill.bad(cause::store_refuses, "nothing settles: the store does not answer", now);
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
    figures_.oldest_unsettled_seconds = outbox_.oldest().count();
  }

  std::string report() {
    refresh();
    const auto& c = figures_.counted;
    return fmt::format(
        R"({{"stage":"kv","written":{},"deleted":{},"commits":{},"stale_since_start":{},"rewinds":{},{}}})",
        c.value("records_written"), c.value("records_deleted"), c.value("commits"), apply_.stale_seen(),
        c.value("consumer_rewinds"), members_of(figures_));
  }

  task<result<std::vector<state_port::stored>>> load(std::vector<std::string> dids) {
    std::vector<state_port::stored> out(dids.size());
    std::vector<std::size_t> asked;
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < dids.size(); ++i) {
      if (begun_known_ && !begun_.contains(kv::encode_part(dids[i]))) continue;
      asked.push_back(i);
      keys.push_back(kv::repo_key(dids[i], ctx_.cfg.kv.partitions));
    }
    auto found = co_await repo_.get_many(std::move(keys));
    if (!found) co_return found.error();
    for (std::size_t k = 0; k < asked.size(); ++k) {
      auto& e = (*found)[k];
      auto& into = out[asked[k]];
      into.seq = e.seq;
      if (e.seq == 0 || e.deleted) continue;
      auto state = kv::parse_repo_state(e.value);
      if (!state) co_return fail(errc::malformed, "bucket repo, account {}: {}", dids[asked[k]], state.error().text);
      into.state = std::move(*state);
    }
    co_return out;
  }

  task<result<std::vector<std::uint64_t>>> save(std::vector<state_port::stored> states);

  kv::claim share_;
  figures figures_;
  stage_context ctx_;
  kv::owner owner_;
  kv::bucket repo_;
  nats::pull_consumer inbox_;
  nats::publisher outbox_;
  kv_apply apply_;
  account_set begun_;
  bool begun_known_ = false;
  std::string not_moving_;
  nats::ordinal last_floor_ = 0;
  int quiet_ = 0;
  bool took_ = false;
  bool settled_ = false;
  event done_;
  figures_board::place shown_;
};

// Each account has at most one write under way. A conflict is our own write whose answer was lost, or somebody else's.
task<result<std::vector<std::uint64_t>>> kv_stage::save(std::vector<state_port::stored> states) {
  std::vector<std::uint64_t> seqs(states.size(), 0);
  std::vector<std::size_t> open(states.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
  while (!open.empty()) {
    // The compare-and-set would hold, while the next owner has read a state and not yet written it; and end him.
    if (!owner_.fresh() && !co_await still_ours()) {
      if (owner_.lost() || settled_) co_return fail(errc::not_owner, "kv: another process has taken over");
      co_await done_.wait_for(200ms);
      continue;
    }
    std::vector<kv::write> writes;
    for (const auto i : open) {
      const auto& s = states[i];
      kv::write w{
          .key = kv::repo_key(s.state.did, ctx_.cfg.kv.partitions), .value = kv::to_json(s.state), .expected = s.seq};
      if (s.seq == 0) begun_.add(kv::encode_part(s.state.did));
      if (s.state.stale()) w.headers.push_back({"status", s.state.status});  // counted without reading the values
      writes.push_back(std::move(w));
    }
    auto answers = co_await repo_.update_many(std::move(writes));
    std::vector<std::size_t> again;
    for (std::size_t k = 0; k < open.size(); ++k) {
      const auto i = open[k];
      if (answers[k]) {
        seqs[i] = *answers[k];
        continue;
      }
      if (answers[k].error().code != errc::conflict) {
        if (owner_.lost() || settled_) co_return answers[k].error();
        again.push_back(i);
        continue;
      }
      auto now = co_await repo_.get(kv::repo_key(states[i].state.did, ctx_.cfg.kv.partitions));
      if (now && now->value == kv::to_json(states[i].state)) {
        seqs[i] = now->seq;
        continue;
      }
      if (now || now.error().code == errc::not_found)
        co_return fail(errc::not_owner, "the state of {} was written by another process (sequence {}, not {})",
                       states[i].state.did, now ? now->seq : 0, states[i].seq);
      again.push_back(i);
    }
    if (again.size() == open.size()) co_await done_.wait_for(200ms);  // NATS is away; wait rather than spin
    open = std::move(again);
  }
  co_return seqs;
}

}  // namespace

result<std::unique_ptr<stage>> make_kv(stage_context& ctx) {
  auto share = claim_of("kv", ctx.cfg.kv.assign, ctx.cfg);
  if (!share) return share.error();
  return std::make_unique<kv_stage>(ctx, std::move(*share));
}

}  // namespace recordkv::stages
