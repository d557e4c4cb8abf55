#include "collection_filter.hpp"

#include "recordkv/config.hpp"
#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::stages {

collection_filter::collection_filter(std::vector<std::string> collections, bool chained)
    : collections_(std::move(collections)),
      chained_(chained),
      everything_(std::find(collections_.begin(), collections_.end(), "*") != collections_.end()) {}

bool collection_filter::wants(const atproto::frame_summary& g) {
  using atproto::event_kind;
  if (g.kind == event_kind::unknown || g.kind == event_kind::info || g.did.empty()) return false;
  if (everything_) return true;
  const bool touches = std::any_of(g.collections.begin(), g.collections.end(),
                                   [&](const std::string& c) { return wants_collection(collections_, c); });
  if (g.kind == event_kind::commit && (touches || !chained_)) {
    if (touches) known_.add(kv::encode_part(g.did));
    return touches;
  }
  // While bucket `repo` is read, an account's state may be written behind the sequence at which that reading ends.
  if (!certain_) known_.add(kv::encode_part(g.did));
  return !certain_ || known_.contains(kv::encode_part(g.did));
}

}  // namespace recordkv::stages
