#include "repair_queue.hpp"

#include <algorithm>

namespace recordkv::stages {

void repair_queue::add(const std::string& did, clock::time_point at) {
  if (const auto taken = taken_.find(did); taken != taken_.end()) {
    taken->second = std::min(at, taken->second.value_or(at));
    return;
  }
  put(did, at);
}

void repair_queue::put(const std::string& did, clock::time_point at) {
  const auto [known, added] = times_.try_emplace(did, at);
  if (!added) {
    if (known->second <= at) return;
    due_.erase({known->second, did});
    known->second = at;
  }
  due_.emplace(at, did);
  if (times_.size() <= max_) return;
  const auto last = std::prev(due_.end());
  times_.erase(last->second);
  due_.erase(last);
  overflowed_ = true;
}

std::optional<std::string> repair_queue::take(clock::time_point now) {
  if (due_.empty() || due_.begin()->first > now) return std::nullopt;
  auto did = due_.begin()->second;
  due_.erase(due_.begin());
  times_.erase(did);
  taken_.emplace(did, std::nullopt);
  return did;
}

void repair_queue::done(const std::string& did) {
  const auto taken = taken_.find(did);
  if (taken == taken_.end()) return;
  const auto again = taken->second;
  taken_.erase(taken);
  if (again) put(did, *again);
}

std::size_t repair_queue::due(clock::time_point now) const {
  std::size_t n = 0;
  for (auto at = due_.begin(); at != due_.end() && at->first <= now; ++at) ++n;
  return n;
}

std::optional<repair_queue::clock::time_point> repair_queue::next() const {
  return due_.empty() ? std::nullopt : std::optional(due_.begin()->first);
}

}  // namespace recordkv::stages
