// The stage `index`: from the store to the views' tables.
//
// Owns: the database and its regular check, one supervisor a view, and the rule that one failed view ends the stage.
// Does not know: how a view is kept (view_supervisor.hpp), SQL, and what a row is made of.
#include "../stages.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/projection/configured_views.hpp"
#include "recordkv/stage/partition_assignment.hpp"
#include "view_supervisor.hpp"

namespace recordkv::stages {
namespace {

constexpr std::chrono::seconds database_check{2};  // of its size, its locks and its readers

class index_stage final : public stage {
 public:
  explicit index_stage(std::unique_ptr<view::store> rows) : rows_(std::move(rows)) {}

  void add(stage_context& ctx, view::plan plan, kv::lease_spec spec) {
    views_.push_back(std::make_unique<view_supervisor>(ctx, std::move(plan), std::move(spec), *rows_));
  }

  std::string_view name() const override { return "index"; }

  task<result<void>> run() override {
    nursery views(co_await asio::this_coro::executor), beside(co_await asio::this_coro::executor);
    for (auto& v : views_) views.spawn(run_one(*v));
    beside.spawn(look_after_database());
    co_await views.join();
    ended_ = true;
    ending_.notify();
    co_await beside.join();
    if (views.failure()) co_return *views.failure();
    co_return result<void>{};
  }

  void close() noexcept override {
    for (auto& v : views_) v->close();
  }

 private:
  // A view that cannot go on ends the stage. A restart is the remedy; running only some of the views would be a silent
  // failure.
  task<result<void>> run_one(view_supervisor& v) {
    auto done = co_await v.run();
    if (done.has_error()) close();
    co_return done;
  }

  // A loop of its own, because the views may wait long for the database.
  task<> look_after_database() {
    using namespace std::chrono_literals;
    std::chrono::steady_clock::time_point told{};
    while (!ended_) {
      auto now = co_await rows_->look_after();
      if (now) {
        for (auto& v : views_) v->note_database(*now);
        if (now->warning.empty()) {
          told = {};
        } else if (std::chrono::steady_clock::now() - told >= 1min) {
          told = std::chrono::steady_clock::now();
          log::warn("index", "{}", now->warning);
        }
      }
      if (!ended_) co_await ending_.wait_for(database_check);
    }
  }

  std::unique_ptr<view::store> rows_;
  bool ended_ = false;
  event ending_;
  std::vector<std::unique_ptr<view_supervisor>> views_;
};

}  // namespace

result<std::unique_ptr<stage>> make_index(stage_context& ctx) {
  auto plans = projection::configured_views(ctx.cfg);
  if (!plans) return plans.error();
  auto rows = view::store::open(ctx.nc.io(), ctx.cfg.database());
  if (!rows) return rows.error();
  auto stage = std::make_unique<index_stage>(std::move(*rows));
  for (auto& p : *plans) {
    auto spec = lease_spec_of("view-" + p.name, ctx.cfg.index.assign, ctx.cfg);
    if (!spec) return spec.error();
    stage->add(ctx, std::move(p), std::move(*spec));
  }
  return stage;
}

}  // namespace recordkv::stages
