#include "pipeline.hpp"

#include "recordkv/core/log.hpp"

#include <utility>

namespace recordkv::stages {
namespace {

// Between two attempts to read states, while NATS does not answer or a state can't be read.
constexpr std::chrono::milliseconds retry_pause{500};
// How many accounts are read at once; and after how many events the missing ones are read although they are fewer.
constexpr std::size_t accounts_at_once = 256, events_between_loads = 256;

}  // namespace

kv_pipeline::kv_pipeline(nats::inbox& in, nats::outbox& out, const state_port& states, event_decoder decode,
                         apply_rules rules, pipeline_limits limits, meters& counters)
    : in_(in),
      states_(states),
      decode_(std::move(decode)),
      limits_(limits),
      accounts_(limits.cached_accounts),
      settles_(in, out, states, limits.gather, limits.unsettled_events, counters),
      apply_(out, accounts_, settles_, std::move(rules), counters) {}

std::optional<settlement::clock::time_point> kv_pipeline::oldest() const noexcept {
  const auto applied = settles_.oldest();
  return applied ? applied : applying_since_;
}

bool kv_pipeline::full() const noexcept {
  return unsettled() >= limits_.unsettled_events ||
         order_.bytes() + settles_.unsettled_bytes() >= limits_.unsettled_bytes;
}

task<result<void>> kv_pipeline::take() {
  result<void> taken, applied;
  nursery both(co_await asio::this_coro::executor);
  both.spawn(take_messages(taken));
  both.spawn(apply_events(applied));
  co_await both.join();
  co_return applied ? taken : applied;
}

task<> kv_pipeline::take_messages(result<void>& ended) {
  while (taking_ && !abandoned_) {
    if (full()) {
      co_await settles_.progress().wait();
      continue;
    }
    auto batch = co_await in_.next();
    if (!batch) {
      ended = batch.error();
      break;
    }
    for (auto& e : co_await decode_(std::move(*batch))) order_.push(std::move(e));
    changed_.notify();
  }
  taking_ = false;
  changed_.notify();
}

task<> kv_pipeline::apply_events(result<void>& ended) {
  nursery loads(co_await asio::this_coro::executor);
  for (;;) {
    ended = co_await apply_ready(loads);
    if (!ended || abandoned_ || (!taking_ && order_.empty())) break;
    co_await changed_.wait();
  }
  taking_ = false;
  if (ended) {
    settles_.finish();
  } else {  // the outbox has failed, so no further message is taken
    in_.close();
    settles_.progress().notify();
  }
  co_await loads.join();
}

// Applies what can be applied now. Events of an account whose state is not in memory are put aside, and their states
// are read in batches. A state in memory is never replaced by one that was read (X9).
task<result<void>> kv_pipeline::apply_ready(nursery& loads) {
  std::vector<std::string> missing;
  std::size_t popped = 0;
  while (!abandoned_) {
    auto e = order_.pop();
    const bool last = !e && missing.empty();
    const bool due = !e || missing.size() >= accounts_at_once || ++popped % events_between_loads == 0;
    if (due) accounts_.evict();  // before the next are loaded, so that none of those goes before its events are applied
    if (last) break;
    if (due && !missing.empty()) loads.spawn(load(std::exchange(missing, {})));
    if (!e) continue;  // load() may have finished without suspending, and released events
    if (const auto& did = e->what.did; !did.empty() && !accounts_.contains(did)) {
      missing.push_back(did);
      order_.hold(std::move(*e));
      continue;
    }
    applying_since_ = settlement::clock::now();
    auto applied = co_await apply_.apply(std::move(*e));
    applying_since_.reset();
    if (!applied) co_return applied;
  }
  co_return result<void>{};
}

// An account whose state can't be read stays held. It holds up no other, as long as its events stay within the limits.
task<> kv_pipeline::load(std::vector<std::string> dids) {
  bool failed = false;
  while (!abandoned_ && !dids.empty()) {
    dids = keep_loaded(dids, co_await states_.load(dids));
    changed_.notify();
    if (const bool fails = !dids.empty(); fails != failed) {
      failed = fails;
      failed_loads_ += fails ? 1 : -1;
    }
    if (failed && !abandoned_) co_await abandoned_event_.wait_for(retry_pause);
  }
}

// Returns the accounts that are to be read again.
std::vector<std::string> kv_pipeline::keep_loaded(const std::vector<std::string>& dids,
                                                  std::vector<result<state_port::stored>> found) {
  std::vector<std::string> again;
  // release() puts events at the front of the queue. Going backwards, those of the first account end up first.
  for (std::size_t i = dids.size(); i-- > 0;) {
    if (!found[i]) {
      load_error_ = found[i].error().text;
      again.push_back(dids[i]);
      continue;
    }
    accounts_.add(dids[i], std::move(*found[i]));
    order_.release(dids[i]);
  }
  if (const auto n = again.empty() ? 0 : told_.count("states", rate_limited::clock::now()))
    log::warn("kv", "reading account states: {}; {} failed attempt{} since the last line", load_error_, n,
              n == 1 ? "" : "s");
  return again;
}

task<result<void>> kv_pipeline::settle() {
  auto settled = co_await settles_.run();
  if (settled.has_error()) abandon();  // take() may be waiting for room
  co_return settled;
}

void kv_pipeline::abandon() noexcept {
  abandoned_ = true;
  in_.close();
  settles_.abandon();
  changed_.notify();
  abandoned_event_.notify();
}

}  // namespace recordkv::stages
