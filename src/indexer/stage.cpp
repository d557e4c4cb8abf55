// A feed and its work function, as a stage.
//
// Owns: opening and finishing the feed. Does not know: what the work is.
#include "recordkv/indexer.hpp"

namespace recordkv {
namespace {

class indexer_stage final : public stage {
 public:
  indexer_stage(stage_context& ctx, feed_spec spec, indexer_work work)
      : name_(spec.durable.empty() ? "indexer" : spec.durable), work_(work), feed_(ctx, std::move(spec)) {}

  std::string_view name() const override { return name_; }

  task<result<void>> run() override {
    auto done = co_await feed_.open();
    if (done) done = co_await work_(feed_);
    co_await feed_.finish();
    co_return done;
  }

  void close() noexcept override { feed_.close(); }

 private:
  std::string name_;
  indexer_work work_;
  record_feed feed_;
};

}  // namespace

result<std::unique_ptr<stage>> make_indexer(stage_context& ctx, indexer_spec spec, indexer_work work) {
  return std::make_unique<indexer_stage>(ctx, spec(ctx.cfg), work);
}

}  // namespace recordkv
