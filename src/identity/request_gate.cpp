#include "request_gate.hpp"

#include <algorithm>

namespace recordkv::identity {

request_gate::clock::time_point request_gate::patience_ends(clock::time_point since) const {
  return std::max(since, last_answer_) + rule_.patience;
}

task<bool> request_gate::enter(clock::time_point since) {
  waiter self;
  const auto place = queue_.insert(queue_.end(), &self);
  bool in = false;
  while (!closed_ && !in) {
    const auto now = clock::now(), end = patience_ends(since);
    const bool first = queue_.front() == &self;
    if (now >= end) break;
    in = first && open(now);
    if (in) break;
    const bool only_paused = first && used_ < allowed_;
    co_await self.woken.wait_for((only_paused ? std::min(end, paused_until_) : end) - now);
  }
  queue_.erase(place);
  if (in) ++used_;
  wake_first();
  co_return in;
}

void request_gate::leave_answered() {
  --used_;
  if (rule_.one_host) last_answer_ = clock::now();
  allowed_ = std::min(allowed_ + 1, rule_.places);
  pause_.reset();
  wake_first();
}

void request_gate::leave_failed(std::optional<ms> stay_away) {
  --used_;
  const auto now = clock::now();
  // Requests that were under way when the first of them failed tell nothing new.
  if (rule_.one_host && now >= paused_until_) {
    allowed_ = std::max<std::size_t>(1, allowed_ / 2);
    paused_until_ = now + pause_.next();
  }
  if (rule_.one_host && stay_away) paused_until_ = std::max(paused_until_, now + *stay_away);
  wake_first();
}

void request_gate::wake_first() {
  if (!queue_.empty()) queue_.front()->woken.notify();
}

void request_gate::close() noexcept {
  closed_ = true;
  for (waiter* w : queue_) w->woken.notify();
}

}  // namespace recordkv::identity
