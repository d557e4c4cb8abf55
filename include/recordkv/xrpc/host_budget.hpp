// How many requests each host may get at a time, and which hosts want to be left alone.
//
// Owns: the places of each host and of all hosts together; the pause that a host has asked for.
// Does not know: what is requested, connections, timers. Pure: the caller passes the time.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <unordered_map>

namespace recordkv::xrpc {

struct host_limits {
  std::size_t per_host = 2;
  std::size_t overall = 16;
};

class host_budget {
 public:
  using clock = std::chrono::steady_clock;
  explicit host_budget(host_limits limits) : limits_(limits) {}

  /// Takes a place of the host. False: the host or all hosts together have none, or the host is paused.
  bool begin(const std::string& host, clock::time_point now);
  /// Whether begin() would succeed.
  bool has_place(const std::string& host, clock::time_point now) const;
  /// Gives the place back.
  void end(const std::string& host);
  /// The host wants to be left alone until then. An earlier end of an existing pause does not count.
  void pause(const std::string& host, clock::time_point until);
  /// When the host's pause ends; nullopt: it is not paused.
  std::optional<clock::time_point> paused_until(const std::string& host, clock::time_point now) const;
  /// Whether all hosts together have a place.
  bool has_room() const noexcept { return used_ < limits_.overall; }
  std::size_t used() const noexcept { return used_; }
  /// Hosts that are remembered: those with a place taken or a pause that has not ended. Bounded by that.
  std::size_t hosts() const noexcept { return hosts_.size(); }

 private:
  struct host_state {
    std::size_t used = 0;
    clock::time_point paused_until;
  };
  void forget_old(clock::time_point now);

  host_limits limits_;
  std::unordered_map<std::string, host_state> hosts_;
  std::size_t used_ = 0;
  clock::time_point next_end_ = clock::time_point::max();  // of the pauses of hosts without a place
};

}  // namespace recordkv::xrpc
