#include "account_cache.hpp"

#include <utility>

namespace recordkv::stages {

bool set_key(account& a, const std::string& multikey) {
  auto key = atproto::public_key::from_multikey(multikey);
  if (!key) return false;
  if (a.newest.key != multikey) a.key_unsaved = true;
  a.key = *key;
  a.newest.key = multikey;
  return true;
}

void account_cache::add(const std::string& did, state_port::stored read) {
  auto [at, added] = accounts_.try_emplace(did);
  if (!added) return;
  auto& a = at->second;
  a.seq = read.seq;
  a.newest = std::move(read.state);
  a.newest.did = did;
  if (!a.newest.key.empty() && !set_key(a, a.newest.key)) a.newest.key.clear();  // unreadable: looked up again
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
    if (a->second.in_use()) {
      ++it;
      continue;
    }
    accounts_.erase(a);
    it = recent_.erase(it);
  }
}

}  // namespace recordkv::stages
