// The stage `index`: from the store to the views' tables, one durable consumer a view.
//
// Owns: per view the lock, the consumer `view-NAME`, and the position that moves with the rows (docs/invariants.md
// X21). Refuses to know: SQL, and what a row is made of (view/plan.hpp, view/store.hpp).
#include "recordkv/core/health.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/owner.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/nats/pull_consumer.hpp"
#include "recordkv/view/store.hpp"
#include "stages.hpp"

#include <glob.h>

#include <algorithm>

namespace recordkv::stages {
namespace {

using namespace std::chrono_literals;

class view_fold {
 public:
  view_fold(stage_context& ctx, view::plan plan, view::store& rows)
      : ctx_(ctx),
        plan_(std::move(plan)),
        rows_(rows),
        owner_(ctx.nc, "view-" + plan_.name, [this] { return report(); }),
        labels_(kv::partition_labels(ctx.cfg.kv.partitions)),
        prefix_("$KV." + ctx.cfg.kv.bucket + "."),
        inbox_(ctx.nc, consumer(), ctx.counters, ctx.facts.api_level, [this] { return lowest() + 1; }) {}

  task<result<void>> run() {
    if (auto mine = co_await owner_.acquire(); !mine) co_return mine;
    nursery children(co_await asio::this_coro::executor);
    owner_.start(children, [this] { close(); });
    auto done = co_await find_position();
    if (done) done = co_await inbox_.attach();
    if (done) done = co_await fold();
    co_await owner_.release();
    co_await children.join();
    if (owner_.lost()) co_return fail(errc::not_owner, "view {}: another process has taken over", plan_.name);
    co_return done;
  }

  void close() noexcept { inbox_.close(); }

 private:
  nats::consumer_spec consumer() const {
    // Exactly this NSID: a longer one that begins with it has more tokens (atproto: a NSID spans several).
    return {.stream = "KV_" + ctx_.cfg.kv.bucket,
            .durable = "view-" + plan_.name,
            .filters = {fmt::format("{}*.{}.*.*", prefix_, plan_.collection)},
            .policy = nats::acks::all,
            // While a transaction runs, this much gathers for the next: SQLite is twice as fast in large batches.
            .credit = 32'768,
            .max_bytes = std::size_t{32} << 20};
  }

  std::uint64_t lowest() const {
    std::uint64_t low = UINT64_MAX;
    for (const auto& l : labels_) {
      const auto it = at_.seq.find(l);
      low = std::min(low, it == at_.seq.end() ? 0 : it->second);
    }
    return low == UINT64_MAX ? 0 : low;
  }

  // The stored position counts only for the store it was made from; of another one the rows are worth nothing.
  task<result<void>> find_position() {
    auto opened = co_await rows_.prepare(plan_);
    if (!opened) co_return opened.error();
    at_ = opened->at;
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
      if (auto cleared = co_await rows_.clear(plan_); !cleared) co_return cleared;
    }
    at_ = {.created = store->store.created, .generation = store->meta.generation};
    view::position none;
    auto begun = co_await rows_.apply(plan_, {}, none, at_);
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
    std::vector<view::change> changes;
    changes.reserve(batch.size());
    std::uint64_t last = 0;
    for (const auto& m : batch) {
      const auto d = nats::parse_delivery(m.reply());
      auto key = kv::record_key::parse(m.subject().substr(std::min(prefix_.size(), m.subject().size())));
      last = std::max(last, d->stream_seq);
      if (!key || key->collection != plan_.collection) {
        ctx_.counters.add("index_left_out", "not_a_record");
        continue;
      }
      const auto known = at_.seq.find(key->partition);
      if (known != at_.seq.end() && d->stream_seq <= known->second) {
        ctx_.counters.add("index_skipped", "older");
        continue;
      }
      const bool erase = !m.header_value("KV-Operation").empty() || m.data().empty();
      changes.push_back({erase, std::move(key->did), std::move(key->collection), std::move(key->rkey),
                         erase ? "" : std::string(m.data())});
    }
    view::position next = at_;
    for (const auto& l : labels_) next.seq[l] = std::max(next.seq[l], last);
    auto done = co_await commit(std::move(changes), next);
    if (!done) co_return done;
    at_ = std::move(next);
    folded_ += batch.size();
    inbox_.settle(batch.back());
    co_return result<void>{};
  }

  // A database that is locked or full is waited for; nothing is lost meanwhile, and `status` says it.
  task<result<void>> commit(std::vector<view::change> changes, const view::position& next) {
    for (;;) {
      auto done = co_await rows_.apply(plan_, changes, at_, next);
      if (done) {
        health_.good();
        ctx_.counters.add("index_rows", {}, done->rows);
        if (done->rejected) ctx_.counters.add("index_left_out", "rejected", done->rejected);
        co_return result<void>{};
      }
      if (done.error().code == errc::conflict)
        co_return fail(errc::not_owner, "view {}: another process moved its position in {}", plan_.name,
                       ctx_.cfg.index.database);
      if (done.error().code != errc::storage) co_return done.error();
      health_.bad(done.error().text, std::chrono::system_clock::now());
      log::warn("index", "view {}: {}; trying again", plan_.name, done.error().text);
      if (owner_.lost() || closed_waiting()) co_return done.error();
      co_await paused_.wait_for(1s);
    }
  }

  bool closed_waiting() const noexcept { return inbox_.closed(); }

  std::string report() const {
    const auto pending = inbox_.pending();
    return fmt::format(R"({{"stage":"index","view":"{}","position":{},"pending":{},"folded":{}{}}})", plan_.name,
                       lowest(), pending, folded_, report_tail(health_, ctx_.counters, "index_"));
  }

  stage_context& ctx_;
  view::plan plan_;
  view::store& rows_;
  kv::owner owner_;
  std::vector<std::string> labels_;
  std::string prefix_;
  nats::pull_consumer inbox_;
  view::position at_;
  std::uint64_t checked_ = 0;
  std::uint64_t folded_ = 0;
  health health_;
  event paused_;
};

class index_stage final : public stage {
 public:
  index_stage(stage_context& ctx, std::vector<view::plan> plans, std::unique_ptr<view::store> rows)
      : rows_(std::move(rows)) {
    for (auto& p : plans) folds_.push_back(std::make_unique<view_fold>(ctx, std::move(p), *rows_));
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

std::vector<std::string> matching_files(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> out;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i) out.emplace_back(found.gl_pathv[i]);
  globfree(&found);
  return out;
}

}  // namespace

result<std::vector<view::plan>> configured_views(const config& cfg) {
  std::vector<view::plan> plans;
  for (const auto& pattern : cfg.index.views) {
    const auto files = matching_files(pattern);
    if (files.empty())
      return fail(errc::bad_config, "index.views: no file matches \"{}\" (relative to the working directory)", pattern);
    for (const auto& file : files) {
      auto loaded = view::load_plans(file);
      if (!loaded) return loaded.error();
      for (auto& p : *loaded) {
        const auto twin = std::find_if(plans.begin(), plans.end(), [&](const auto& q) { return q.name == p.name; });
        if (twin != plans.end())
          return fail(errc::bad_config, "{}:{}: view \"{}\" is already defined in {}:{}", p.file, p.line, p.name,
                      twin->file, twin->line);
        plans.push_back(std::move(p));
      }
    }
  }
  return plans;
}

result<std::unique_ptr<stage>> make_index(stage_context& ctx) {
  auto plans = configured_views(ctx.cfg);
  if (!plans) return plans.error();
  auto rows = view::store::open(ctx.cfg.sqlite_path());
  if (!rows) return rows.error();
  return std::make_unique<index_stage>(ctx, std::move(*plans), std::move(*rows));
}

}  // namespace recordkv::stages
