#include "place_waits.hpp"

#include <algorithm>
#include <iterator>

namespace recordkv::stages {

void place_waits::add(const std::string& did, const std::string& host) {
  if (accounts_.contains(did) || accounts_.size() >= max_) return;
  const auto [known, added] = hosts_.try_emplace(host);
  if (added) known->second = lines_.insert(lines_.end(), line{host, {}});
  auto& dids = known->second->dids;
  accounts_.emplace(did, place{known->second, dids.insert(dids.end(), did)});
}

const std::string* place_waits::host_of(const std::string& did) const {
  const auto known = accounts_.find(did);
  return known == accounts_.end() ? nullptr : &known->second.in->host;
}

void place_waits::remove(const std::string& did) {
  const auto known = accounts_.find(did);
  if (known == accounts_.end()) return;
  const auto [in, at] = known->second;
  accounts_.erase(known);
  in->dids.erase(at);
  if (!in->dids.empty()) return;
  hosts_.erase(in->host);
  lines_.erase(in);
}

std::optional<std::string> place_waits::take(const std::function<bool(const std::string& host)>& has_place) {
  for (auto left = std::min(max_looked_at, lines_.size()); left > 0; --left) {
    lines_.splice(lines_.end(), lines_, lines_.begin());  // its turn is over, whether or not it has a place
    if (!has_place(lines_.back().host)) continue;
    auto did = lines_.back().dids.front();
    remove(did);
    return did;
  }
  return std::nullopt;
}

}  // namespace recordkv::stages
