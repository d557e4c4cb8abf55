#include "sql/row_outcomes.hpp"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace recordkv::view {
namespace {

/// The changes stand in one array, so their addresses are their order.
void keep_newest(std::vector<const change*>& chosen) {
  const auto key = [](const change* c) { return std::tie(c->did, c->collection, c->rkey); };
  std::ranges::sort(chosen, [&](const change* a, const change* b) {
    const auto order = key(a) <=> key(b);
    return order != 0 ? order < 0 : a > b;  // the newest of a key comes first, and is kept
  });
  const auto older = std::ranges::unique(chosen, [&](const change* a, const change* b) { return key(a) == key(b); });
  chosen.erase(older.begin(), older.end());
}

constexpr std::array<std::string change::*, 3> all_key_members{&change::did, &change::collection, &change::rkey};

}  // namespace

std::span<std::string change::* const> key_members(const plan& p) noexcept {
  return std::span(all_key_members).first(p.key_columns().size());
}

bool row_outcome::reject(std::string why) {
  if (rows == 0 && !hooks) return false;
  if (rejection_reason.empty()) rejection_reason = std::move(why);
  hooks = std::exchange(rows, 0) > 0;
  return true;
}

row_outcome outcome_of(const plan& p, const change& c) {
  row_outcome out{.of = &c};
  if (c.erase) return out;
  out.rejection_reason = c.rejection_reason;
  if (out.rejection_reason.empty()) out.rows = p.many() ? c.rows.size() : std::min<std::size_t>(c.rows.size(), 1);
  return out;
}

row_outcomes outcomes_of(const plan& p, const std::vector<change>& changes, bool bulk) {
  std::vector<const change*> chosen;
  chosen.reserve(changes.size());
  for (const auto& c : changes)
    if (p.wants(c.collection)) chosen.push_back(&c);
  if (!bulk) {
    keep_newest(chosen);
    if (p.has_hooks()) std::ranges::sort(chosen);
  }
  row_outcomes out;
  out.reserve(chosen.size());
  for (const auto* const c : chosen) out.push_back(outcome_of(p, *c));
  return out;
}

}  // namespace recordkv::view
