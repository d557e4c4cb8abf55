// Over 300 lines: the wiring of all parts of the stage, and the order in which they start and stop.
//
// The stage `kv`: from stream `ingest` to the store.
//
// Owns: the durable consumer, the publisher into the store, and their start and stop.
// Does not know: what becomes of an event (pipeline.hpp).
#include "../stages.hpp"
#include "accounts/worker_pool.hpp"
#include "configured_lists.hpp"
#include "outgoing.hpp"
#include "pipeline.hpp"
#include "recordkv/atproto/verify.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/nats/pull_consumer.hpp"
#include "recordkv/stage/buffer_stream.hpp"
#include "recordkv/stage/lifecycle.hpp"
#include "recordkv/stage/partition_assignment.hpp"
#include "repair/account_changes.hpp"
#include "repair/gap_marks.hpp"
#include "repair/loss_marks.hpp"
#include "repair/lost_writes.hpp"
#include "repair/repair_pace.hpp"
#include "repair/wish_watch.hpp"
#include "repo_states.hpp"
#include "store_watch.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <memory>

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;

constexpr auto progress_check = 200ms;  // how soon `status` and alerts see a stall
constexpr auto consumer_check = 500ms;  // less often, since it asks NATS
// Lists of accounts are read no further while so many accounts are due: half of what repairs keep in memory. Accounts
// that wait for their next try do not count, because their hosts may be gone for good.
constexpr std::size_t max_listed_due = 5'000;
constexpr auto reading_retry = 5s;     // of the accounts that have a state, after an error
constexpr auto gather_states = 500ms;  // at most: several events of an account become one write of its state

// Identifies the collections under which a state was stored: another hash means that the filter has changed since.
std::string filter_hash(std::vector<std::string> collections) {
  std::sort(collections.begin(), collections.end());
  return fmt::format("{:08x}", kv::murmur3(fmt::format("{}", fmt::join(collections, ","))));
}

class kv_stage final : public stage {
 public:
  kv_stage(stage_context& outer, kv::lease_spec spec)
      : spec_(std::move(spec)),
        life_(outer, "kv", spec_, hooks()),
        states_(life_, repairs_every_account()),
        writes_(life_, states_.port(), spec_.assigned->labels()),
        inbox_(ctx_.nc, consumer(), stats_.counted, ctx_.facts.api_level),
        outbox_(ctx_.nc, store_writer(), stats_.counted),
        pool_(worker_count(ctx_.cfg.kv.workers)),
        outgoing_(ctx_),
        pipeline_(inbox_, outbox_, writes_.port(), decoder(), rules(), verification_by_resolver(), repair_by_fetching(),
                  {.gather = gather_states}, stats_.counted),
        wishes_(
            ctx_, [this](const std::string& did) { return is_assigned(did); },
            [this](kv::wish w) { return pipeline_.fulfil(std::move(w)); }),
        gaps_(ctx_, spec_.assigned->labels(), [this](std::vector<std::string> d) { return mark_gap(std::move(d)); }),
        store_(ctx_) {
    writes_.on_found = [this] { stop_at_once(); };
    states_.on_loss_mark = [this](const std::string& did) {
      if (auto* loss = pipeline_.after_loss(); loss != nullptr && is_assigned(did)) loss->open(did);
    };
  }

  std::string_view name() const override { return "kv"; }

  task<result<void>> run() override {
    if (auto mine = co_await life_.acquire([this] { return open_streams(); }); !mine) co_return mine;
    co_return co_await life_.run([this](nursery& children) { return work(children); },
                                 "kv: another process has taken over");
  }

  void close() noexcept override {
    life_.close();
    inbox_.close();
  }

  /// After run(): NATS had taken writes back, so all that this object has in memory is void. A new one goes on.
  bool begins_again() const noexcept { return writes_.found() && !life_.closing() && !life_.lost(); }
  /// This stage goes on for one that begins again.
  void start_again() {
    life_.start_again();
    set_back_ = true;
  }

 private:
  part_hooks hooks() {
    return {.refresh = [this] { refresh(); },
            .describe = [this](boost::json::object& report) { describe(report); },
            .stop = [this] { stop_at_once(); }};
  }

  task<result<void>> open_streams() {
    auto store = co_await kv::open_store(ctx_.nc, ctx_.names(), ctx_.cfg.kv.partitions, ctx_.cfg.nats.replicas);
    if (!store) co_return store.error();
    if (auto opened = co_await open_ingest_stream(ctx_); !opened) co_return opened.error();
    co_return result<void>{};
  }

  // The store is read only after the lease was acquired: the previous holder has then stopped writing.
  task<result<void>> attach() {
    auto now = co_await nats::stream_info(ctx_.nc, ctx_.names().store());
    if (!now) co_return now.error();
    if (auto removed = co_await remove_left_durables(ctx_.nc, ctx_.names().buffer(), spec_); !removed)
      co_return removed;
    if (auto stand = co_await writes_.attach(set_back_); !stand) co_return stand;
    if (auto attached = co_await inbox_.attach(); !attached) co_return attached;
    if (auto may = co_await writes_.may_read(); !may) co_return may;  // the connection may be another one by now
    outbox_.attach(*now);
    log::info("kv", "writing bucket {} ({} keys), {} of {} partitions", ctx_.cfg.kv.bucket, now->messages,
              spec_.assigned->labels().size(), ctx_.cfg.kv.partitions);
    co_return result<void>{};
  }

  nats::consumer_spec consumer() {
    // `credit` bounds the messages that are requested and not yet delivered. More may be delivered and unacknowledged.
    nats::consumer_spec spec{.stream = ctx_.names().buffer(),
                             .durable = spec_.key(),
                             .policy = nats::acks::each,
                             .made_anew = true,
                             .stream_returns = true,
                             .still_ours = [this] { return writes_.may_read(); },
                             .credit = 2048};
    if (!spec_.assigned->all())
      for (const auto& label : spec_.assigned->labels()) spec.filters.push_back(ctx_.names().buffer_subject(label));
    return spec;
  }

  // A put into the store carries no expected sequence, so the server also accepts puts from a process that has lost the
  // lease. Such a put could overwrite a newer value, and would stay (X7). Therefore nothing is sent while another
  // process may hold the lease.
  nats::publisher_spec store_writer() {
    return {.name = "kv",
            .stream = ctx_.names().store(),
            .permit = {.valid = [this] { return life_.valid() && writes_.stand(); },
                       .renew = [this] { return may_write(); }},
            .latency = &stats_.publish,
            .passed = [this](std::string_view subject, std::uint64_t seq) { writes_.passed(subject, seq); }};
  }

  task<bool> may_write() { co_return (co_await life_.renew_if_stale()).has_value() && co_await writes_.ask(); }

  task<result<std::size_t>> mark_gap(std::vector<std::string> dids) {
    std::size_t marked = 0;
    auto mark = [&marked, every = repairs_every_account()](account& a) {
      const bool changed = mark_source_gap(a, every);
      marked += changed ? 1 : 0;
      return changed;
    };
    auto done = co_await pipeline_.change_accounts(std::move(dids), mark);
    if (!done) co_return done.error();
    co_return marked;
  }

  apply_rules rules() const {
    const auto& c = ctx_.cfg;
    return {.partitions = c.kv.partitions,
            .bucket = c.kv.bucket,
            .collections = c.source.collections,
            .filter = filter_,
            .verify = verifies(),
            .repairs = c.repos.repair,
            .begins = configured_beginning(c),
            .signal = c.repos.signal_collection};
  }

  repair repair_by_fetching() {
    const auto& c = ctx_.cfg;
    if (!c.repos.repair) return {};
    auto port = outgoing_.repos([this] { return !settled_ && !life_.lost(); });
    port.stored = [this](to_repair show) { return find_accounts(std::move(show)); };
    return {.port = std::move(port),
            .rules = {.every_account = repairs_every_account(),
                      .remove_inactive = c.kv.on_inactive == "remove",
                      .collections = c.source.collections,
                      .filter = filter_,
                      .first_retry = c.repos.retry,
                      .between = c.repos.retry}};
  }

  void follow_lists(nursery& parts) {
    auto rules = configured_lists(ctx_.cfg);
    if (!rules) return;
    rules->filter = filter_;
    auto port = outgoing_.lists();
    port.follow = [this](std::vector<std::string> dids) { return follow(std::move(dids)); };
    port.mine = [this](const std::string& did) { return is_assigned(did); };
    port.room = [this] { return pipeline_.repairs_due() < max_listed_due; };
    keep_progress(port, ctx_, spec_.key());
    lists_.emplace(std::move(port), std::move(*rules), stats_.counted);
    parts.spawn(lists_->run());
  }

  task<result<void>> follow(std::vector<std::string> dids) {
    auto as_listed = [filter = filter_](account& a) {
      return follow_as_listed(a, filter, seconds_since_1970(std::chrono::system_clock::now()));
    };
    co_return co_await pipeline_.change_accounts(std::move(dids), std::move(as_listed));
  }

  bool repairs_every_account() const {
    return verifies() && firehose::source_kind_named(ctx_.cfg.source.kind).signed_commits;
  }

  using to_repair = std::function<void(const std::string& did, std::int64_t next_try)>;
  task<result<void>> find_accounts(to_repair found) {
    auto show = [this, &found](const std::string& did, std::int64_t next_try) {
      if (is_assigned(did)) found(did, next_try);
    };
    co_return co_await states_.learn_known_accounts([this] { return !settled_; }, std::move(show));
  }

  // Without this list no account that was marked before the start would be repaired.
  task<> find_accounts_of_before() {
    while (!settled_) {
      auto show = [this](const std::string& did, std::int64_t next) { pipeline_.consider_stored(did, next); };
      if (auto read = co_await find_accounts(std::move(show)); read) break;
      co_await done_.wait_for(reading_retry);
    }
  }

  bool is_assigned(const std::string& did) const {
    const auto& labels = spec_.assigned->labels();
    return spec_.assigned->all() ||
           std::ranges::find(labels, kv::partition_of(did, ctx_.cfg.kv.partitions)) != labels.end();
  }

  bool verifies() const { return ctx_.cfg.kv.verify == "full"; }

  event_decoder decoder() {
    return verifies() ? decode_on(pool_, atproto::decode_provable) : event_decoder(decode_unverified);
  }

  verification verification_by_resolver() {
    return {.pool = &pool_, .verify = atproto::verify, .identity = outgoing_.directory()};
  }

  void tell_verification() const {
    if (!verifies()) return;
    if (const auto& kind = firehose::source_kind_named(ctx_.cfg.source.kind); kind.signed_commits)
      log::info("kv", "every commit is verified, on {} thread{}", pool_.workers(), pool_.workers() == 1 ? "" : "s");
    else
      log::info("kv", R"(kv.verify = "full" verifies the frames of a firehose; JSON of a {} carries no proof)",
                kind.noun);
  }

  task<result<void>> work(nursery& children) {
    if (auto attached = co_await life_.while_starting([this] { return attach(); }); !attached) co_return attached;
    stats_.running = true;
    result<void> taken, settled;
    outgoing_.start(co_await asio::this_coro::executor);
    tell_verification();
    nursery parts(co_await asio::this_coro::executor);
    outbox_.start(children);
    parts.spawn(take(taken));
    parts.spawn(settle(settled));
    parts.spawn(watch_progress());
    parts.spawn(watch_consumer());
    parts.spawn(find_accounts_of_before());
    if (ctx_.cfg.repos.repair) parts.spawn(wishes_.run());
    follow_lists(parts);
    if (ctx_.cfg.repos.repair) parts.spawn(gaps_.run());
    store_.start(parts);
    co_await parts.join();
    outbox_.close();
    const auto failed = [](const result<void>& r) { return r.has_error() && r.error().code != errc::closed; };
    const bool cut = outbox_.halted() != nats::halt::none || failed(settled) || failed(taken);
    if (cut && !life_.lost() && !life_.closing()) co_await writes_.explains_failure();
    if (outbox_.halted() != nats::halt::none && !life_.lost())
      co_return fail(errc::refused, "kv: the store's stream: {}",
                     outbox_.last_error());  // the next start says what is wrong with that stream
    co_return failed(settled) ? settled : taken;
  }

  task<> take(result<void>& ended) {
    ended = co_await pipeline_.take();
    if (ended.has_error() && ended.error().code != errc::closed) stop_at_once();
  }

  task<> settle(result<void>& ended) {
    ended = co_await pipeline_.settle();
    if (ended.has_error()) stop_at_once();  // take() may be waiting in the outbox
    inbox_.close();
    settled_ = true;
    wishes_.close();
    if (lists_) lists_->close();
    gaps_.close();
    writes_.close();
    store_.close();
    done_.notify();
  }

  // If the store is removed or recreated while the stage runs, the stage ends with an error: it can't repair the store.
  task<> watch_progress() {
    while (!settled_) {
      co_await done_.wait_for(progress_check);
      if (outbox_.halted() != nats::halt::none) stop_at_once();
      life_.note_health(stall());
    }
  }

  // Separate from watch_progress(), because stall_reason() may wait for NATS for seconds.
  task<> watch_consumer() {
    while (!settled_) {
      co_await done_.wait_for(consumer_check);
      stall_reason_ = co_await inbox_.stall_reason(5s);
    }
  }

  void stop_at_once() noexcept {
    inbox_.close();
    outbox_.close();
    states_.give_up();
    writes_.close();
    pipeline_.abandon();
  }

  stall_reason stall() {
    constexpr int rounds_without_progress = 25;  // of watch_progress(): five seconds
    const auto floor = outbox_.floor();
    quiet_ = pipeline_.unstored() == 0 || floor != last_floor_ ? 0 : quiet_ + 1;
    last_floor_ = floor;
    if (!outbox_.last_error().empty())
      return {outbox_.stall_reason(cause::store_full), "the store takes nothing: " + outbox_.last_error()};
    if (!pipeline_.last_error().empty()) return {cause::store_refuses, "account states: " + pipeline_.last_error()};
    if (quiet_ > rounds_without_progress) return {cause::store_refuses, "nothing settles: the store does not answer"};
    if (!store_.changed_setting().empty()) return {cause::store_refuses, store_.changed_setting()};
    if (auto why = pipeline_.look_up_error(); !why.empty())
      return {cause::directory_down, "signing keys can't be looked up: " + why};
    return {cause::consumer_not_moving, stall_reason_};
  }

  void refresh() {
    stats_.events = pipeline_.taken();
    stats_.bytes = inbox_.taken().bytes;
    stats_.lag_messages = inbox_.pending();
    stats_.lag_seconds = inbox_.lag_seconds();
    stats_.in_flight = pipeline_.unsettled();
    pace_.take(stats_.counted.value("repairs", "done"), std::chrono::steady_clock::now());
    const auto& memory = outgoing_.repo_bytes();
    if (ctx_.cfg.repos.repair)
      stats_.repairs = {.waiting = pipeline_.repairs_waiting(),
                        .under_way = pipeline_.repairs_under_way(),
                        .bytes = memory.held(),
                        .max_bytes = memory.total()};
    const auto oldest = pipeline_.oldest();
    stats_.oldest_unsettled_seconds =
        oldest ? std::chrono::duration<double>(std::chrono::steady_clock::now() - *oldest).count() : 0;
  }

  void describe(boost::json::object& report) const {
    const auto& c = stats_.counted;
    report["written"] = c.value("records_written");
    report["deleted"] = c.value("records_deleted");
    report["commits"] = c.value("commits");
    report["stale_since_start"] = pipeline_.desynchronised();
    report["rewinds"] = c.value("consumer_rewinds");
    report["verify"] = ctx_.cfg.kv.verify;
    report["workers"] = pool_.workers();
    if (const auto known = states_.known()) report["accounts"] = *known;
    report["repairs_waiting"] = pipeline_.repairs_waiting();
    report["repairs_under_way"] = pipeline_.repairs_under_way();
    if (const auto left = pace_.left(pipeline_.repairs_waiting() + pipeline_.repairs_under_way()))
      report["repairs_seconds_left"] = left->count();
    if (lists_) report["lists"] = lists_->describe();
    if (const auto* loss = pipeline_.after_loss(); loss != nullptr)
      report["after_loss"] = boost::json::object{{"checked", loss->now().checked},
                                                 {"resynced", loss->now().resynced},
                                                 {"records_differed", loss->now().differed},
                                                 {"waiting", loss->waiting()}};
    store_.growth().describe(report);
  }

  kv::lease_spec spec_;
  lifecycle life_;
  part_stats& stats_ = life_.stats();
  stage_context& ctx_ = life_.context();
  const std::string filter_ = filter_hash(ctx_.cfg.source.collections);
  repo_states states_;
  lost_writes writes_;
  nats::pull_consumer inbox_;
  nats::publisher outbox_;
  worker_pool pool_;
  outgoing outgoing_;
  kv_pipeline pipeline_;
  wish_watch wishes_;
  std::optional<account_lists> lists_;
  gap_marks gaps_;
  store_watch store_;
  repair_pace pace_;
  std::string stall_reason_;
  nats::ordinal last_floor_ = 0;
  int quiet_ = 0;
  bool settled_ = false;
  bool set_back_ = false;  // NATS was set back while the stage before this one ran
  event done_;
};

// If NATS took writes back while the stage ran, another stage begins with nothing in memory, as after a kill.
class kv_stages final : public stage {
 public:
  kv_stages(stage_context& outer, kv::lease_spec spec) : outer_(outer), spec_(std::move(spec)) { begin(); }

  std::string_view name() const override { return "kv"; }

  task<result<void>> run() override {
    for (;;) {
      auto done = co_await now_->run();
      if (!now_->begins_again()) co_return done;
      log::info("kv", "NATS was set back to an older state; the stage begins again with what NATS has");
      begin();
      now_->start_again();
    }
  }

  void close() noexcept override { now_->close(); }

 private:
  void begin() {
    now_.reset();
    now_ = std::make_unique<kv_stage>(outer_, spec_);
  }

  stage_context& outer_;
  kv::lease_spec spec_;
  std::unique_ptr<kv_stage> now_;
};

}  // namespace

result<std::unique_ptr<stage>> make_kv(stage_context& ctx) {
  auto spec = lease_spec_of("kv", ctx.cfg.kv.assign, ctx.cfg);
  if (!spec) return spec.error();
  return std::make_unique<kv_stages>(ctx, std::move(*spec));
}

}  // namespace recordkv::stages
