#include "pipeline.hpp"

#include "recordkv/core/log.hpp"

#include <utility>

namespace recordkv::stages {
namespace {

constexpr std::chrono::milliseconds retry_pause{
    500};  // between two attempts to read states, while NATS does not answer

}  // namespace

kv_pipeline::kv_pipeline(nats::inbox& in, nats::outbox& out, state_port states, event_decoder decode, apply_rules rules,
                         pipeline_limits limits, meters& counters)
    : in_(in),
      states_(states),
      decode_(std::move(decode)),
      limits_(limits),
      accounts_(limits.cached_accounts),
      settles_(in, out, std::move(states), limits.gather, limits.unsettled_events, counters),
      apply_(out, accounts_, settles_, std::move(rules), counters) {}

task<result<void>> kv_pipeline::take() {
  result<void> taken, applied;
  nursery both(co_await asio::this_coro::executor);
  both.spawn(take_messages(taken));
  both.spawn(apply_events(applied));
  co_await both.join();
  co_return applied ? taken : applied;
}

task<> kv_pipeline::take_messages(result<void>& ended) {
  while (!abandoned_) {
    while (unsettled() >= limits_.unsettled_events && !abandoned_ && taking_) co_await settles_.settled().wait();
    auto batch = co_await in_.next();
    if (!batch) ended = batch.error();
    if (!batch || abandoned_ || !taking_) break;
    for (auto& e : co_await decode_(std::move(*batch))) order_.push(std::move(e));
    pushed_.notify();
  }
  taking_ = false;
  pushed_.notify();
}

task<> kv_pipeline::apply_events(result<void>& ended) {
  nursery loads(co_await asio::this_coro::executor);
  for (;;) {
    ended = co_await apply_ready(loads);
    if (!ended || abandoned_ || (!taking_ && order_.empty())) break;
    accounts_.evict();
    co_await pushed_.wait();
  }
  taking_ = false;
  if (!ended) {
    in_.close();  // the outbox takes nothing more, so nothing more is taken
    settles_.settled().notify();
  }
  co_await loads.join();
  if (ended) settles_.finish();
}

// Applies what can be applied now. An account whose state is not in memory is held while its state is read. One that is
// in memory is never read over (X9).
task<result<void>> kv_pipeline::apply_ready(nursery& loads) {
  std::vector<std::string> missing;
  while (!abandoned_) {
    auto e = order_.pop();
    if (!e) {
      if (missing.empty()) break;
      loads.spawn(load(std::exchange(missing, {})));
      continue;  // the states may have been known at once
    }
    const auto& did = e->what.did;
    if (!did.empty() && !accounts_.contains(did)) {
      missing.push_back(did);
      order_.hold(std::move(*e));
      continue;
    }
    if (auto applied = co_await apply_.apply(std::move(*e)); !applied) co_return applied;
  }
  co_return result<void>{};
}

task<> kv_pipeline::load(std::vector<std::string> dids) {
  auto found = co_await states_.load(dids);
  while (!found && !abandoned_) {
    log::warn("kv", "reading account states: {}; trying again", found.error().text);
    co_await settles_.settled().wait_for(retry_pause);
    found = co_await states_.load(dids);
  }
  if (!found) co_return;
  for (std::size_t i = 0; i < dids.size(); ++i) {
    accounts_.add(dids[i], std::move((*found)[i]));
    order_.release(dids[i]);
  }
  pushed_.notify();
}

task<result<void>> kv_pipeline::settle() {
  auto settled = co_await settles_.run();
  if (settled.has_error()) abandon();  // take() may be waiting for room
  co_return settled;
}

void kv_pipeline::abandon() noexcept {
  abandoned_ = true;
  settles_.abandon();
  pushed_.notify();
}

}  // namespace recordkv::stages
