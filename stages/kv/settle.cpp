#include "settle.hpp"

#include "recordkv/core/log.hpp"

#include <utility>

namespace recordkv::stages {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds retry_pause{200};  // between two attempts to write states, while NATS does not answer
constexpr milliseconds max_wait{200};     // for the floor to rise; bounds the harm of a notification that is missed

}  // namespace

settlement::settlement(nats::inbox& in, nats::outbox& out, state_port states, milliseconds gather,
                       std::size_t max_unsettled, meters& counters)
    : in_(in),
      out_(out),
      states_(std::move(states)),
      gather_(gather),
      max_unsettled_(max_unsettled),
      counters_(counters) {}

void settlement::add(nats::ordinal last, event_handle from, account* changed) {
  if (changed) ++changed->held;
  waiting_.push_back({last, std::move(from), changed, changed ? changed->newest : kv::repo_state{}, clock::now()});
  if (out_.floor() > last) out_.moved().notify();  // nothing else is in flight, so nothing else will notify
}

std::optional<settlement::clock::time_point> settlement::oldest() const noexcept {
  if (settling_ > 0) return settling_since_;
  return waiting_.empty() ? std::nullopt : std::optional(waiting_.front().since);
}

void settlement::finish() noexcept {
  finished_ = true;
  out_.moved().notify();
  pause_.notify();
}

void settlement::abandon() noexcept {
  abandoned_ = true;
  settled_.notify();
  pause_.notify();
  out_.moved().notify();
}

// The events whose last put is durable. Their accounts' states become writable now, not earlier (X9).
std::vector<event_handle> settlement::take_durable() {
  std::vector<event_handle> durable;
  const auto floor = out_.floor();
  if (!waiting_.empty()) settling_since_ = waiting_.front().since;
  for (; !waiting_.empty() && waiting_.front().last < floor; waiting_.pop_front()) {
    auto& e = waiting_.front();
    durable.push_back(std::move(e.from));
    if (!e.changed) continue;
    --e.changed->held;
    e.changed->settled = std::move(e.after);
    e.changed->settled.at = out_.stored();
    if (!e.changed->dirty) dirty_.push_back(e.changed);
    e.changed->dirty = true;
  }
  return durable;
}

task<result<void>> settlement::write_states() {
  const auto accounts = std::exchange(dirty_, {});
  if (accounts.empty()) co_return result<void>{};
  std::vector<state_port::stored> states;
  states.reserve(accounts.size());
  for (auto* a : accounts) states.push_back({a->settled, a->seq});
  auto saved = co_await states_.save(states);
  while (!saved && saved.error().code != errc::lease_lost && !abandoned_) {
    log::warn("kv", "writing account states: {}; trying again", saved.error().text);
    co_await settled_.wait_for(retry_pause);
    saved = co_await states_.save(states);
  }
  if (!saved) co_return saved.error();
  for (std::size_t i = 0; i < accounts.size(); ++i) {
    accounts[i]->seq = (*saved)[i];
    accounts[i]->dirty = false;
  }
  counters_.add("states_written", {}, accounts.size());
  co_return result<void>{};
}

task<result<void>> settlement::run() {
  while (!abandoned_) {
    auto durable = take_durable();
    if (durable.empty()) {
      if (finished_ && waiting_.empty()) break;
      co_await out_.moved().wait_for(max_wait);
      continue;
    }
    settling_ = durable.size();
    if (auto written = co_await write_states(); !written) co_return written;
    for (auto& handle : durable) handle.settle(in_);
    settling_ = 0;
    settled_.notify();
    // A short pause gathers several events of an account into one write. Only acknowledgements are delayed by it.
    if (!finished_ && waiting_.size() < max_unsettled_ / 2) co_await pause_.wait_for(gather_);
  }
  co_return result<void>{};
}

}  // namespace recordkv::stages
