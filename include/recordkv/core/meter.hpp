// Counters: what was done, and what was skipped and why.
//
// Owns: the named counters of one process or part.
// Does not know: how they are shown. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

namespace recordkv {

/// Counters by name, and by reason if one is given: `meters.add("kv_skipped", "older")`.
/// A name has lower-case letters and underscores; a reason is one short word from a closed set, never input.
class meters {
 public:
  using key = std::pair<std::string, std::string>;

  /// A counter that lives as long as this object, for hot paths. It starts at 0.
  std::uint64_t& counter(std::string_view name, std::string_view reason = {});

  void add(std::string_view name, std::string_view reason = {}, std::uint64_t n = 1) { counter(name, reason) += n; }

  /// The same for one host of the network. Hosts come from the configuration, or from a program that wrote into the
  /// buffer. Beyond `max_hosts` of them, the others are counted together as "other".
  static constexpr std::size_t max_hosts = 64;
  void add_of_host(std::string_view name, std::string_view host, std::string_view reason);

  /// The value; 0 if it was never counted.
  std::uint64_t value(std::string_view name, std::string_view reason = {}) const;

  /// Those of hosts, by name, host and reason.
  using host_key = std::tuple<std::string, std::string, std::string>;
  const std::map<host_key, std::uint64_t>& of_hosts() const noexcept { return of_hosts_; }

  /// All counters except those of hosts, ordered by name and reason.
  const std::map<key, std::uint64_t, std::less<>>& all() const noexcept { return counters_; }

 private:
  std::map<key, std::uint64_t, std::less<>> counters_;
  std::map<host_key, std::uint64_t> of_hosts_;
  std::set<std::string, std::less<>> hosts_;
};

}  // namespace recordkv
