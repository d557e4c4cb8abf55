// Limits the log lines about events of which there may be thousands.
//
// Owns: for each key, how many events there were since the last line, and whether a line is due now.
// Does not know: the text of the line, and clocks (time is an argument). The number of keys is bounded, because a key
// may come from the network. Keys beyond the bound share one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace recordkv {

/// The first event of a key is due at once; later ones at most once per interval:
///
///     if (const auto n = told.count(host, now)) log::warn("kv", "{}: {} events skipped, the last because {}", …);
class rate_limited {
 public:
  using clock = std::chrono::steady_clock;
  explicit rate_limited(clock::duration interval = std::chrono::minutes(1), std::size_t max_keys = 1000)
      : interval_(interval), max_keys_(max_keys) {}

  /// Counts one event. If a line is due, returns the number of events since the last line, this one included;
  /// otherwise 0.
  std::uint64_t count(std::string_view key, clock::time_point now) {
    auto& s = state_of(key, now);
    ++s.pending;
    return take_due(s, now);
  }

  /// The same without a new event: the number that no line has reported yet, once a line is due.
  std::uint64_t overdue(std::string_view key, clock::time_point now) {
    const auto it = keys_.find(key);
    return it == keys_.end() || it->second.pending == 0 ? 0 : take_due(it->second, now);
  }

 private:
  struct state {
    std::uint64_t pending = 0;
    bool told = false;
    clock::time_point told_at;
  };

  std::uint64_t take_due(state& s, clock::time_point now) const {
    if (s.told && now - s.told_at < interval_) return 0;
    s.told = true;
    s.told_at = now;
    return std::exchange(s.pending, 0);
  }

  state& state_of(std::string_view key, clock::time_point now) {
    if (const auto it = keys_.find(key); it != keys_.end()) return it->second;
    if (keys_.size() >= max_keys_)
      std::erase_if(keys_, [&](const auto& k) { return k.second.pending == 0 && now - k.second.told_at >= interval_; });
    return keys_[keys_.size() < max_keys_ ? std::string(key) : std::string()];
  }

  clock::duration interval_;
  std::size_t max_keys_;
  std::map<std::string, state, std::less<>> keys_;
};

}  // namespace recordkv
