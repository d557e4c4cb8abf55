#include "failure_memory.hpp"

namespace recordkv::identity {

// All entries are kept equally long, so they end in the order in which they came. A newer failure of the same DID has a
// later end; its earlier line in order_ then says nothing.
void failure_memory::drop_old(clock::time_point now) {
  while (!order_.empty() && (order_.front().second <= now || order_.size() > max_entries)) {
    const auto [did, until] = std::move(order_.front());
    order_.pop_front();
    if (const auto it = failures_.find(did); it != failures_.end() && it->second.until == until) failures_.erase(it);
  }
}

void failure_memory::remember(const std::string& did, error why, clock::time_point now) {
  const auto until = now + keep_;
  failures_.insert_or_assign(did, failure{std::move(why), until});
  order_.emplace_back(did, until);
  drop_old(now);
}

void failure_memory::forget(std::string_view did) {
  if (const auto it = failures_.find(did); it != failures_.end()) failures_.erase(it);
}

std::optional<error> failure_memory::find(std::string_view did, clock::time_point now) {
  drop_old(now);
  const auto it = failures_.find(did);
  if (it == failures_.end()) return {};
  return it->second.why;
}

}  // namespace recordkv::identity
