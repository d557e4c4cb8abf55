#include "account_cache.hpp"

#include <utility>

namespace recordkv::stages {

void account_cache::add(const std::string& did, state_port::stored read) {
  auto [at, added] = accounts_.try_emplace(did);
  if (!added) return;
  auto& a = at->second;
  a.seq = read.seq;
  a.newest = std::move(read.state);
  a.newest.did = did;
  a.durable = a.newest;
  a.recent = recent_.insert(recent_.end(), did);
}

account& account_cache::use(const std::string& did) {
  auto& a = accounts_.at(did);
  recent_.splice(recent_.end(), recent_, a.recent);
  return a;
}

void account_cache::evict() {
  for (auto it = recent_.begin(); accounts_.size() > max_ && it != recent_.end();) {
    const auto a = accounts_.find(*it);
    if (a->second.held > 0 || a->second.dirty) {
      ++it;
      continue;
    }
    accounts_.erase(a);
    it = recent_.erase(it);
  }
}

}  // namespace recordkv::stages
