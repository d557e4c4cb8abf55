// The other half of kv_apply: what becomes of an event once its puts are durable (docs/invariants.md X9).
#include "kv_apply.hpp"

#include "recordkv/core/log.hpp"

#include <utility>

namespace recordkv::stages {

using std::chrono::milliseconds;

// Everything whose last put is durable. Its account's state becomes writable now, not earlier (X9).
std::vector<nats::message> kv_apply::collect_durable() {
  std::vector<nats::message> durable;
  const auto floor = out_.floor();
  if (!waiting_.empty()) settling_since_ = waiting_.front().since;
  for (; !waiting_.empty() && waiting_.front().last < floor; waiting_.pop_front()) {
    auto& e = waiting_.front();
    durable.push_back(std::move(e.from));
    if (!e.who) continue;
    --e.who->held;
    e.who->settled = std::move(e.after);
    e.who->settled.at = out_.stored();
    if (!e.who->dirty) dirty_.push_back(e.who);
    e.who->dirty = true;
  }
  return durable;
}

task<result<void>> kv_apply::write_states() {
  const auto accounts = std::exchange(dirty_, {});
  if (accounts.empty()) co_return result<void>{};
  std::vector<state_port::stored> states;
  states.reserve(accounts.size());
  for (auto* a : accounts) states.push_back({a->settled, a->seq});
  auto saved = co_await states_.save(states);
  while (!saved && saved.error().code != errc::not_owner && !abandoned_) {
    log::warn("kv", "writing account states: {}; trying again", saved.error().text);
    co_await freed_.wait_for(milliseconds(200));
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

task<result<void>> kv_apply::settle() {
  while (!abandoned_) {
    auto durable = collect_durable();
    if (durable.empty()) {
      if (!taking_ && waiting_.empty()) break;
      co_await out_.moved().wait_for(milliseconds(200));
      continue;
    }
    settling_ = durable.size();
    if (auto written = co_await write_states(); !written) {
      abandon();  // take() may be waiting for room that nobody will make
      co_return written;
    }
    for (const auto& m : durable) in_.settle(m);
    settling_ = 0;
    freed_.notify();
    // Waiting a little gathers several events of an account into one write; only acknowledgements are late by it.
    if (taking_ && waiting_.size() < rules_.unsettled_events / 2) co_await pause_.wait_for(rules_.gather);
  }
  co_return result<void>{};
}

}  // namespace recordkv::stages
