// The stage `index`: from the store to the views' tables, one durable consumer a view.
//
// Owns: per view the lock, the consumer `view-NAME`, and the position that moves with the rows (docs/invariants.md
// X21). Refuses to know: SQL, and what a row is made of (view/plan.hpp, view/store.hpp).
#include "recordkv/core/figures_text.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/owner.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/pull_consumer.hpp"
#include "stages.hpp"
#include "view_changes.hpp"

#include <algorithm>

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;

class view_fold {
 public:
  view_fold(stage_context& ctx, view::plan plan, kv::claim share, view::store& rows)
      : plan_(std::move(plan)),
        share_(std::move(share)),
        figures_{.stage = "index", .part = share_.key()},
        ctx_(ctx.counting_in(figures_.counted)),
        rows_(rows),
        owner_(ctx.nc, share_, [this] { return report(); }),
        labels_(share_.share->labels()),
        prefix_("$KV." + ctx.cfg.kv.bucket + "."),
        inbox_(ctx.nc, consumer(), figures_.counted, ctx.facts.api_level, [this] { return lowest() + 1; }),
        shown_(ctx.board, figures_, [this] { refresh(); }) {}

  task<result<void>> run() {
    if (auto mine = co_await owner_.acquire(); !mine) co_return mine;
    nursery children(co_await asio::this_coro::executor);
    owner_.start(children, [this] { close(); });
    children.spawn(watch());
    children.spawn(watch_consumer());
    auto done = co_await find_position();
    if (done) done = co_await remove_left_durables(ctx_.nc, "KV_" + ctx_.cfg.kv.bucket, share_);
    if (done) done = co_await inbox_.attach();
    figures_.running = done.has_value();
    if (done) done = co_await fold();
    figures_.running = false;
    ended_ = true;
    pause_.notify();
    co_await owner_.release();
    co_await children.join();
    if (owner_.lost()) co_return fail(errc::not_owner, "view {}: another process has taken over", plan_.name);
    co_return done;
  }

  void close() noexcept {
    owner_.abandon();
    inbox_.close();
    pause_.notify();
  }

 private:
  nats::consumer_spec consumer() {
    // Exactly this NSID: a longer one that begins with it has more tokens (atproto: a NSID spans several).
    std::vector<std::string> filters;
    if (share_.share->all())
      filters.push_back(fmt::format("{}*.{}.*.*", prefix_, plan_.collection));
    else
      for (const auto& label : labels_) filters.push_back(fmt::format("{}{}.{}.*.*", prefix_, label, plan_.collection));
    return {.stream = "KV_" + ctx_.cfg.kv.bucket,
            .durable = share_.key(),
            .filters = std::move(filters),
            .policy = nats::acks::all,
            .still_ours = [this] { return owner_.confirm(); },
            // While a transaction runs, this much gathers for the next: SQLite is twice as fast in large batches.
            .credit = 32'768,
            .max_bytes = std::size_t{32} << 20};
  }

  std::uint64_t lowest() const { return lowest_of(at_, labels_); }

  // The stored position counts only for the store it was made from; of another one the rows are worth nothing.
  task<result<void>> find_position() {
    auto opened = co_await patiently([this] { return rows_.prepare(plan_); }, false);
    if (!opened) co_return opened.error();
    at_ = std::move(opened->at);
    std::erase_if(at_.seq, [&](const auto& l) { return std::ranges::find(labels_, l.first) == labels_.end(); });
    if (opened->rebuilt)
      log::info("index", "view {}: its definition has changed; rebuilding from the store's first key", plan_.name);
    co_return co_await check_history();
  }

  task<result<void>> check_history() {
    auto store = co_await kv::open_store(ctx_.nc, ctx_.cfg.kv.bucket, ctx_.cfg.kv.partitions, ctx_.cfg.nats.replicas);
    if (!store) co_return store.error();
    std::uint64_t highest = 0;
    for (const auto& [label, seq] : at_.seq) highest = std::max(highest, seq);
    const bool same = at_.created == store->store.created && at_.generation == store->meta.generation &&
                      highest <= store->store.last_seq;
    checked_ = inbox_.incarnation();
    if (same) co_return result<void>{};
    if (!at_.created.empty()) {
      log::warn("index", "view {}: the store was recreated, restored or cut back since; rebuilding from its first key",
                plan_.name);
      auto cleared = co_await patiently([this] { return rows_.clear(plan_, at_); }, false);
      if (!cleared && cleared.error().code == errc::conflict) co_return co_await find_position();  // another was faster
      if (!cleared) co_return cleared;
    }
    at_ = {.created = store->store.created, .generation = store->meta.generation};
    auto begun = co_await patiently([this] { return rows_.apply(plan_, {}, view::position{}, at_); }, false);
    if (!begun && begun.error().code == errc::conflict) co_return co_await find_position();
    if (!begun) co_return begun.error();
    co_return result<void>{};
  }

  task<result<void>> fold() {
    log::info("index", "view {} goes on from sequence {}", plan_.name, lowest());
    for (;;) {
      auto batch = co_await inbox_.next();
      if (!batch) co_return batch.error().code == errc::closed ? result<void>{} : result<void>{batch.error()};
      if (inbox_.incarnation() != checked_) {  // rewound: perhaps by a reconnect to a server that lost something
        const auto before = at_;
        auto same = co_await check_history();
        if (!same && same.error().code != errc::timed_out && same.error().code != errc::unreachable) co_return same;
        if (!same || !(before == at_)) {
          if (auto again = co_await inbox_.attach(); !again) log::warn("index", "{}", again.error().text);
          continue;
        }
        checked_ = inbox_.incarnation();
      }
      if (auto applied = co_await apply(*batch); !applied) co_return applied;
    }
  }

  task<result<void>> apply(const std::vector<nats::message>& batch) {
    auto fresh = changes_of(batch, prefix_, plan_.collection, at_, figures_.counted);
    view::position next = at_;
    for (const auto& l : labels_) next.seq[l] = std::max(next.seq[l], fresh.last);
    auto done = co_await commit(std::move(fresh.changes), next);
    if (!done) co_return done;
    at_ = std::move(next);
    note_visible(batch.front());
    note_visible(batch.back());
    inbox_.settle(batch.back());
    co_return result<void>{};
  }

  // A database that is locked or full is waited for; nothing is lost meanwhile, and `status` says it. In the middle of
  // the work every trouble of the database is; at the start one that no waiting mends ends it.
  template <class Call>
  auto patiently(Call call, bool started) -> decltype(call()) {
    for (;;) {
      auto done = co_await call();
      if (done || done.error().code != errc::storage) {
        database_trouble_.clear();
        co_return done;
      }
      if (database_trouble_.empty()) log::warn("index", "view {}: {}; trying again", plan_.name, done.error().text);
      database_trouble_ = done.error().text;
      const bool passes = database_cause() != cause::database;
      if (owner_.lost() || inbox_.closed() || (!started && !passes)) co_return done;
      co_await pause_.wait_for(1s);
    }
  }

  task<result<void>> commit(std::vector<view::change> changes, const view::position& next) {
    const auto begun = std::chrono::steady_clock::now();
    auto done = co_await patiently([&] { return rows_.apply(plan_, changes, at_, next); }, true);
    if (!done && done.error().code == errc::conflict)
      co_return fail(errc::not_owner, "view {}: another process moved its position in {}", plan_.name,
                     ctx_.cfg.index.database);
    if (!done) co_return done.error();
    figures_.transaction.observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    ctx_.counters.add("rows", {}, done->rows);
    if (done->rejected) ctx_.counters.add("left_out", "rejected", done->rejected);
    co_return result<void>{};
  }

  cause database_cause() const {
    const auto has = [&](std::string_view words) { return database_trouble_.find(words) != std::string::npos; };
    return has("locked") ? cause::database_locked : has("full") ? cause::disk_full : cause::database;
  }

  // What moves, and what does not, is looked at beside the work: a transaction may wait for a lock for seconds.
  task<> watch() {
    while (!ended_) {
      co_await pause_.wait_for(500ms);
      note_health();
    }
  }

  task<> watch_consumer() {
    while (!ended_) {
      co_await pause_.wait_for(500ms);
      not_moving_ = co_await inbox_.why_not_moving(5s);
    }
  }

  void note_health() {
    auto& ill = figures_.condition;
    const auto now = std::chrono::system_clock::now();
    if (!ctx_.nc.up())
      ill.bad(cause::nats_down, "no connection to NATS: " + ctx_.nc.trouble(), now);
    else if (!database_trouble_.empty())
      ill.bad(database_cause(), database_trouble_, now);
    else if (!not_moving_.empty())
      ill.bad(cause::consumer_not_moving, not_moving_, now);
    else
      ill.good();
  }

  void note_visible(const nats::message& m) {
    if (const auto age = seconds_since(m.header_value("time"))) figures_.visible.observe(*age);
  }

  void refresh() {
    figures_.events = inbox_.taken().messages;
    figures_.bytes = inbox_.taken().bytes;
    figures_.lag_messages = inbox_.pending();
    figures_.lag_seconds = inbox_.lag_seconds();
  }

  std::string report() {
    refresh();
    return fmt::format(R"({{"stage":"index","view":"{}","position":{},"rows":{},{}}})", plan_.name, lowest(),
                       figures_.counted.value("rows"), members_of(figures_));
  }

  view::plan plan_;
  kv::claim share_;
  figures figures_;
  stage_context ctx_;
  view::store& rows_;
  kv::owner owner_;
  std::vector<std::string> labels_;
  std::string prefix_;
  nats::pull_consumer inbox_;
  view::position at_;
  std::uint64_t checked_ = 0;
  std::string database_trouble_, not_moving_;
  bool ended_ = false;
  event pause_;
  figures_board::place shown_;
};

class index_stage final : public stage {
 public:
  explicit index_stage(std::unique_ptr<view::store> rows) : rows_(std::move(rows)) {}

  void add(stage_context& ctx, view::plan plan, kv::claim share) {
    folds_.push_back(std::make_unique<view_fold>(ctx, std::move(plan), std::move(share), *rows_));
  }

  std::string_view name() const override { return "index"; }

  task<result<void>> run() override {
    nursery views(co_await asio::this_coro::executor);
    for (auto& f : folds_) views.spawn(run_one(*f));
    co_await views.join();
    if (views.failure()) co_return *views.failure();
    co_return result<void>{};
  }

  void close() noexcept override {
    for (auto& f : folds_) f->close();
  }

 private:
  // One view that can't go on ends the stage: restarting is the remedy, and half a set of views is a silent failure.
  task<result<void>> run_one(view_fold& f) {
    auto done = co_await f.run();
    if (done.has_error()) close();
    co_return done;
  }

  std::unique_ptr<view::store> rows_;
  std::vector<std::unique_ptr<view_fold>> folds_;
};

}  // namespace

result<std::unique_ptr<stage>> make_index(stage_context& ctx) {
  auto plans = configured_views(ctx.cfg);
  if (!plans) return plans.error();
  auto rows = view::store::open(ctx.cfg.sqlite_path());
  if (!rows) return rows.error();
  auto stage = std::make_unique<index_stage>(std::move(*rows));
  for (auto& p : *plans) {
    auto share = claim_of("view-" + p.name, ctx.cfg.index.assign, ctx.cfg);
    if (!share) return share.error();
    stage->add(ctx, std::move(p), std::move(*share));
  }
  return stage;
}

}  // namespace recordkv::stages
