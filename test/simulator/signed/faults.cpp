#include "faults.hpp"

#include "../names.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace recordkv::sim {
namespace {

constexpr std::size_t max_injections = 100'000;

constexpr std::array<std::string_view, 30> names = {
    "forged",        "mutated",     "future_rev",      "replay",       "repeat",          "foreign",       "corrupted",
    "wrong_key",     "high_s",      "wrong_prev_data", "no_prev_data", "op_left_out",     "seq_back",      "gap",
    "bad_record",    "sync",        "sync_moved",      "rotation",     "rotation_silent", "rotation_late", "handle",
    "deactivated",   "reactivated", "deleted",         "takendown",    "suspended",       "migrated",      "recreated",
    "false_deleted", "disconnect"};
static_assert(names.size() == static_cast<std::size_t>(fault::disconnect) + 1);

bool read(std::string_view text, std::uint64_t& out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string_view name(fault f) noexcept { return names[static_cast<std::size_t>(f)]; }

std::optional<fault> fault_named(std::string_view name) noexcept {
  const auto at = std::ranges::find(names, name);
  if (at == names.end()) return std::nullopt;
  return static_cast<fault>(at - names.begin());
}

bool concerns_account(fault f) noexcept { return f >= fault::rotation && f <= fault::false_deleted; }

bool sends_away(fault f) noexcept { return f == fault::deactivated || f == fault::takendown || f == fault::suspended; }

bool shows_after(fault f) noexcept {
  return f == fault::replay || f == fault::repeat || f == fault::sync || f == fault::sync_moved || concerns_account(f);
}

bool loses_commit(fault f) noexcept {
  switch (f) {
    case fault::corrupted:
    case fault::wrong_key:
    case fault::high_s:
    case fault::seq_back:
    case fault::gap:
    case fault::sync_moved: return true;
    default: return false;
  }
}

bool desynchronises(fault f) noexcept {
  return loses_commit(f) || f == fault::wrong_prev_data || f == fault::no_prev_data || f == fault::op_left_out ||
         f == fault::false_deleted;
}

result<> fault_plan::add(std::string_view list) {
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    const std::size_t equals = std::min(item.find('='), item.size());
    const auto kind = fault_named(item.substr(0, equals));
    if (!kind) return fail(errc::bad_config, "{} is no kind of fault", item.substr(0, equals));
    std::string_view amount = item.substr(std::min(item.size(), equals + 1));
    const bool rate = amount.starts_with("1/");
    if (rate) amount.remove_prefix(2);
    std::uint64_t n = 0;
    if (!read(amount, n) || n == 0 || n > 0xffffffff)
      return fail(errc::bad_config, "{} wants a count or a rate: {}=3 or {}=1/500", item, name(*kind), name(*kind));
    planned_.push_back({*kind, rate ? 0 : n, rate ? static_cast<std::uint32_t>(n) : 0});
  }
  return {};
}

void fault_plan::arm(fault f, std::optional<std::uint32_t> account, std::uint64_t count) {
  armed_.push_back({f, account, count});
}

std::optional<fault> fault_plan::choose(std::uint32_t account, std::uint64_t left, draw& d, const fits& fit) {
  for (auto a = armed_.begin(); a != armed_.end(); ++a) {
    if ((a->account && *a->account != account) || !fit(a->kind)) continue;
    const fault out = a->kind;
    if (--a->count == 0) armed_.erase(a);
    return out;
  }
  const auto chances = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(left, 1, 0xffffffff));
  for (planned& p : planned_) {
    const bool now = p.one_in > 0 ? d.one_in(p.one_in) : p.count > 0 && d.below(chances) < p.count;
    if (!now || !fit(p.kind)) continue;
    if (p.count > 0) --p.count;
    return p.kind;
  }
  return std::nullopt;
}

std::map<std::string_view, std::uint64_t> fault_plan::waiting() const {
  std::map<std::string_view, std::uint64_t> out;
  for (const armed& a : armed_) out[name(a.kind)] += a.count;
  for (const planned& p : planned_)
    if (p.count > 0) out[name(p.kind)] += p.count;
  return out;
}

void fault_log::add(injection i) {
  ++counts_[i.kind];
  injected_.push_back(std::move(i));
  if (injected_.size() > max_injections) injected_.pop_front();
}

std::string fault_log::json(const fault_plan& plan) const {
  boost::json::object counts, waiting;
  for (const auto& [kind, n] : counts_) counts[kind] = n;
  for (const auto& [kind, n] : plan.waiting()) waiting[kind] = n;
  boost::json::array injected;
  for (const injection& i : injected_)
    injected.push_back({{"kind", i.kind},
                        {"did", i.did},
                        {"seq", i.seq},
                        {"rev", i.rev == 0 ? std::string() : tid_text(i.rev)},
                        {"expect", i.expect}});
  return boost::json::serialize(
      boost::json::object{{"counts", counts}, {"armed", waiting}, {"injected", std::move(injected)}});
}

}  // namespace recordkv::sim
