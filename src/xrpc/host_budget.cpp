// A host is remembered while it has a place or a pause.
#include "recordkv/xrpc/host_budget.hpp"

#include <algorithm>

namespace recordkv::xrpc {

bool host_budget::has_place(const std::string& host, clock::time_point now) const {
  if (!has_room() || limits_.per_host == 0) return false;
  const auto it = hosts_.find(host);
  return it == hosts_.end() || (it->second.paused_until <= now && it->second.used < limits_.per_host);
}

bool host_budget::begin(const std::string& host, clock::time_point now) {
  forget_old(now);
  if (!has_place(host, now)) return false;
  ++hosts_[host].used;
  ++used_;
  return true;
}

void host_budget::end(const std::string& host) {
  const auto it = hosts_.find(host);
  if (it == hosts_.end() || it->second.used == 0) return;
  --it->second.used;
  --used_;
  if (it->second.used > 0) return;
  if (it->second.paused_until == clock::time_point{}) {
    hosts_.erase(it);
  } else {
    next_end_ = std::min(next_end_, it->second.paused_until);
  }
}

void host_budget::pause(const std::string& host, clock::time_point until) {
  host_state& state = hosts_[host];
  state.paused_until = std::max(state.paused_until, until);
  if (state.used == 0) next_end_ = std::min(next_end_, state.paused_until);
}

std::optional<host_budget::clock::time_point> host_budget::paused_until(const std::string& host,
                                                                        clock::time_point now) const {
  const auto it = hosts_.find(host);
  if (it == hosts_.end() || it->second.paused_until <= now) return {};
  return it->second.paused_until;
}

/// Looks at the hosts only if a pause has ended since the last time.
void host_budget::forget_old(clock::time_point now) {
  if (now < next_end_) return;
  next_end_ = clock::time_point::max();
  std::erase_if(hosts_, [this, now](const auto& host) {
    const host_state& state = host.second;
    if (state.used > 0) return false;
    if (state.paused_until <= now) return true;
    next_end_ = std::min(next_end_, state.paused_until);
    return false;
  });
}

}  // namespace recordkv::xrpc
