// One owner for each thing that must not be done twice: a key in bucket `lock`, renewed (docs/invariants.md X7).
//
// Owns: the key while it is held; the report that stands in its value, which `status` reads from any machine.
// Refuses to know: what is owned.
#pragma once

#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/bucket.hpp"

#include <chrono>
#include <functional>
#include <string>

namespace recordkv::kv {

/// Who this process is, the same for all its keys: random id, host, pid and when it started.
struct process_identity {
  std::string id;
  std::string host;  ///< boot id and pid namespace: two processes with equal hosts see each other's pids
  int pid = 0;
  std::uint64_t started = 0;  ///< clock ticks since boot, from /proc: a pid that was used again differs
  static const process_identity& self();
  /// True when it ran on this host and is certainly gone.
  bool certainly_dead() const;
};

class owner {
 public:
  static constexpr std::chrono::seconds lease{5};

  /// `report`: a JSON object's text, asked at each renewal.
  owner(nats::connection& nc, std::string key, std::function<std::string()> report);

  /// Takes the key. One that stands is watched for one lease: not renewed, it is taken over by compare-and-set (at
  /// once, when its process ran on this host and is dead); renewed, errc::not_owner with who holds it.
  task<result<void>> acquire();

  /// Renews until released. When the key is lost, lost() is set and `on_lost` runs once.
  void start(nursery& children, std::function<void()> on_lost);

  /// Gives the key back: the next one need not wait. Then renewing ends.
  task<> release();

  bool lost() const noexcept { return lost_; }
  const std::string& key() const noexcept { return key_; }

 private:
  task<> renew();
  task<> look_whose();
  std::string value() const;

  bucket lock_;
  std::string key_;
  std::function<std::string()> report_;
  std::function<void()> on_lost_;
  std::uint64_t seq_ = 0;
  bool held_ = false;
  bool lost_ = false;
  bool writing_ = false;  // a renewal is on its way
  std::string since_;
  event released_;
  event written_;
};

/// Now as RFC 3339 UTC with milliseconds.
std::string timestamp_now();

}  // namespace recordkv::kv
