#include "sql/stored_build.hpp"

#include <algorithm>

namespace recordkv::view {

const stored_build* find(const stored_builds& all, bool live) {
  const auto at = std::ranges::find_if(all, [&](const stored_build& b) { return b.whole && b.of.live == live; });
  return at == all.end() ? nullptr : &*at;
}

builds builds_in(const stored_builds& all) {
  builds out;
  for (const auto& b : all) {
    if (!b.whole) continue;
    (b.of.live ? out.live : out.next) = b.of;
    out.rebuild_wanted = out.rebuild_wanted || b.wanted;
  }
  return out;
}

}  // namespace recordkv::view
