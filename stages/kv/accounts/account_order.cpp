#include "account_order.hpp"

#include <iterator>
#include <utility>

namespace recordkv::stages {

void account_order::push(kv_event e) {
  bytes_ += e.bytes;
  e.number = ++pushed_;
  queue_.push_back(std::move(e));
}

std::optional<kv_event> account_order::pop() {
  while (!queue_.empty()) {
    auto next = std::move(queue_.front());
    queue_.pop_front();
    const auto held = held_.empty() ? held_.end() : held_.find(next.what->did);
    if (held == held_.end()) {
      bytes_ -= next.bytes;
      return next;
    }
    held->second.push_back(std::move(next));
    ++waiting_;
  }
  return std::nullopt;
}

void account_order::hold(kv_event first) {
  bytes_ += first.bytes;
  held_[first.what->did].push_back(std::move(first));
  ++waiting_;
}

void account_order::release(const std::string& account) {
  const auto held = held_.find(account);
  if (held == held_.end()) return;
  auto events = std::move(held->second);
  held_.erase(held);
  waiting_ -= events.size();
  queue_.insert(queue_.begin(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
}

}  // namespace recordkv::stages
