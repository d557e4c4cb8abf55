#include "settle.hpp"

#include "recordkv/core/log.hpp"

#include <utility>

namespace recordkv::stages {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds retry_pause{200};  // between two attempts to write states that bucket `repo` refuses
constexpr milliseconds max_wait{200};     // the floor is checked at least this often, even without a notification

}  // namespace

settlement::settlement(nats::inbox& in, nats::outbox& out, state_port states, milliseconds gather,
                       std::size_t max_unsettled, meters& counters)
    : in_(in),
      out_(out),
      states_(std::move(states)),
      gather_(gather),
      max_unsettled_(max_unsettled),
      counters_(counters) {}

void settlement::add(nats::ordinal last, kv_event&& e, account* changed) {
  if (changed) {
    ++changed->in_flight;
    changed->key_unsaved = false;
  }
  bytes_ += e.bytes;
  waiting_.push_back({last, std::move(e.from), changed, e.bytes, changed ? changed->newest : kv::repo_state{},
                      clock::now(), ++added_});
  if (out_.floor() > last)
    out_.moved().notify();  // durable already: run() need not wait for the next rise of the floor
}

std::uint64_t settlement::add_state(nats::ordinal last, account& changed) {
  ++changed.in_flight;
  changed.key_unsaved = false;
  waiting_.push_back({last, std::nullopt, &changed, 0, changed.newest, clock::now(), ++added_});
  if (out_.floor() > last) out_.moved().notify();
  return added_;
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
  progress_.notify();
  pause_.notify();
  out_.moved().notify();
}

// Takes the events whose last put is durable. Their accounts' states become writable now, not earlier (X9).
settlement::durable_events settlement::take_durable() {
  durable_events out;
  const auto floor = out_.floor();
  if (!waiting_.empty()) settling_since_ = waiting_.front().since;
  for (; !waiting_.empty() && waiting_.front().last < floor; waiting_.pop_front()) {
    auto& e = waiting_.front();
    ++out.events;
    out.last = e.number;
    if (e.from) out.handles.push_back(std::move(*e.from));
    out.bytes += e.bytes;
    if (!e.changed) continue;
    --e.changed->in_flight;
    if (!e.changed->durable) dirty_.push_back(e.changed);
    e.after.at = out_.stored();
    e.changed->durable = std::make_unique<kv::repo_state>(std::move(e.after));
  }
  return out;
}

task<result<void>> settlement::write_states() {
  const auto accounts = std::exchange(dirty_, {});
  if (accounts.empty()) co_return result<void>{};
  std::vector<state_port::stored> states;
  states.reserve(accounts.size());
  for (auto* a : accounts) states.push_back({*a->durable, a->seq});
  auto saved = co_await states_.save(states);
  while (!saved && saved.error().code != errc::lease_lost && !abandoned_) {
    last_error_ = saved.error().text;
    if (const auto n = told_.count("states", clock::now()))
      log::warn("kv", "writing account states: {}; {} failed attempt{} since the last line", last_error_, n,
                n == 1 ? "" : "s");
    co_await pause_.wait_for(retry_pause);
    saved = co_await states_.save(states);
  }
  if (!saved) co_return saved.error();
  last_error_.clear();
  for (std::size_t i = 0; i < accounts.size(); ++i) {
    accounts[i]->seq = (*saved)[i];
    accounts[i]->durable.reset();
  }
  counters_.add("states_written", {}, accounts.size());
  co_return result<void>{};
}

task<result<void>> settlement::run() {
  while (!abandoned_) {
    auto durable = take_durable();
    if (durable.events == 0) {
      if (finished_ && waiting_.empty()) break;
      co_await out_.moved().wait_for(max_wait);
      continue;
    }
    settling_ = durable.events;
    if (auto written = co_await write_states(); !written) co_return written;
    for (auto& handle : durable.handles) handle.settle(in_);
    settling_ = 0;
    written_ = durable.last;
    bytes_ -= durable.bytes;
    progress_.notify();
    // A short pause gathers several events of an account into one write. Only acknowledgements are delayed by it.
    if (!finished_ && waiting_.size() < max_unsettled_ / 2) co_await pause_.wait_for(gather_);
  }
  co_return result<void>{};
}

}  // namespace recordkv::stages
