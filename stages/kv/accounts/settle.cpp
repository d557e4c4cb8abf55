#include "settle.hpp"

#include "recordkv/core/log.hpp"

#include <utility>

namespace recordkv::stages {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds retry_pause{200};  // between two attempts to write states that bucket `repo` refuses
constexpr double busy_rate = 10'000;      // events a second from which the longest pause is made
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

void settlement::push(applied what) {
  if (what.changed) {
    ++what.changed->in_flight;
    what.changed->key_unsaved = false;
    if (what.after) what.changed->whole = what.last;
  }
  bytes_ += what.bytes;
  const auto last = what.last;
  what.since = clock::now();
  what.number = ++added_;
  waiting_.push_back(std::move(what));
  if (out_.floor() > last)
    out_.moved().notify();  // durable already: run() need not wait for the next rise of the floor
}

void settlement::add(nats::ordinal last, kv_event&& e, account* changed) {
  push({.last = last,
        .from = std::move(e.from),
        .changed = changed,
        .bytes = e.bytes,
        .after = changed ? std::make_unique<kv::repo_state>(changed->newest) : nullptr});
}

void settlement::add_progress(nats::ordinal last, kv_event&& e, account& a) {
  push({.last = last,
        .from = std::move(e.from),
        .changed = &a,
        .bytes = e.bytes,
        .rev = a.newest.rev,
        .data = a.newest.data});
}

std::uint64_t settlement::add_state(nats::ordinal last, account& changed) {
  push({.last = last, .changed = &changed, .after = std::make_unique<kv::repo_state>(changed.newest)});
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

// A commit that only progressed is written with the rest of the account's newest state. So it waits until every other
// change of that state is durable, too (X9).
bool settlement::is_takeable(const applied& e, nats::ordinal floor) const {
  if (e.last >= floor) return false;
  return e.changed == nullptr || e.after || !e.changed->whole || *e.changed->whole < floor;
}

void settlement::make_writable(applied& e) {
  auto& durable = e.changed->durable;
  if (!durable) dirty_.push_back(e.changed);
  e.changed->only_progress = !e.after;
  if (e.after) {
    durable = std::move(e.after);
  } else {
    if (!durable) durable = std::make_unique<kv::repo_state>();
    durable->rev = std::move(e.rev);
    durable->data = std::move(e.data);
  }
  durable->at = out_.stored();
}

// The state to write. `durable` is empty afterwards; while it exists, the account stays in memory.
kv::repo_state settlement::take_writable(account& a) {
  auto out = std::move(*a.durable);
  if (!a.only_progress) return out;
  auto whole = a.newest;
  whole.rev = std::move(out.rev);
  whole.data = std::move(out.data);
  whole.at = out.at;
  return whole;
}

// Takes the events whose last put is durable. Their accounts' states become writable now, not earlier (X9).
settlement::durable_events settlement::take_durable() {
  durable_events out;
  const auto floor = out_.floor();
  if (!waiting_.empty()) settling_since_ = waiting_.front().since;
  for (; !waiting_.empty() && is_takeable(waiting_.front(), floor); waiting_.pop_front()) {
    auto& e = waiting_.front();
    ++out.events;
    out.last = e.number;
    if (e.from) out.handles.push_back(std::move(*e.from));
    out.bytes += e.bytes;
    if (!e.changed) continue;
    --e.changed->in_flight;
    make_writable(e);
  }
  return out;
}

task<result<void>> settlement::write_states() {
  const auto accounts = std::exchange(dirty_, {});
  if (accounts.empty()) co_return result<void>{};
  std::vector<state_port::stored> states;
  states.reserve(accounts.size());
  for (auto* a : accounts) states.push_back({take_writable(*a), a->seq});
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

// The pause delays only acknowledgements and states, and a restart repeats what is not acknowledged. Under load a
// longer pause saves many writes. At a low rate it saves few, so the pause falls with the rate.
milliseconds settlement::pause_after(std::size_t events) {
  const auto now = clock::now();
  const std::chrono::duration<double> took = now - std::exchange(round_, now);
  const auto share = static_cast<double>(events) / (took.count() * busy_rate);
  return share >= 1 ? gather_ : std::chrono::duration_cast<milliseconds>(gather_ * share);
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
    const auto pause = pause_after(durable.events);
    if (!finished_ && waiting_.size() < max_unsettled_ / 2) co_await pause_.wait_for(pause);
  }
  co_return result<void>{};
}

}  // namespace recordkv::stages
