// One owner for each thing that must not be done twice: a key in bucket `lock`, renewed (docs/invariants.md X7).
//
// Owns: the key while it is held; the report that stands in its value, which `status` reads from any machine; the
// yielding to an older owner whose partitions overlap.
// Refuses to know: what is owned.
#pragma once

#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/partition_set.hpp"
#include "recordkv/kv/store_names.hpp"

#include <chrono>
#include <functional>
#include <optional>
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

/// What is to be owned: `base` alone, or a share of its partitions.
struct claim {
  std::string base;  ///< "ingest", "kv", "view-likes"
  std::optional<partition_set> share;
  unsigned partitions = 16;
  int replicas = 1;             ///< of bucket lock
  store_names names{"record"};  ///< the store whose bucket lock it is
  std::string key() const { return base + (share ? share->suffix() : ""); }
};

class owner {
 public:
  static constexpr std::chrono::seconds lease{5};

  /// `report`: a JSON object's text, asked at each renewal.
  owner(nats::connection& nc, claim what, std::function<std::string()> report);

  enum class patience {
    one_lease,  ///< a holder who lives is an error
    stand_by,   ///< wait until he is gone, however long
  };

  /// Takes the key. One that stands is watched: deleted, or its process certainly dead, it is taken at once, by
  /// compare-and-set; not renewed, after one lease; renewed, errc::not_owner with who holds it, or standing by. Then an
  /// older owner whose partitions overlap is yielded to: errc::not_owner. Keys of owners who have gone and whose share
  /// overlaps are removed. errc::closed after abandon().
  task<result<void>> acquire(patience p = patience::one_lease);

  /// True while acquire() stands by.
  bool standing_by() const noexcept { return standing_by_; }

  /// acquire() returns errc::closed as soon as it can.
  void abandon() noexcept;

  /// Renews until released. When the key is lost, lost() is set and `on_lost` runs once.
  void start(nursery& children, std::function<void()> on_lost);

  /// Renews now, unless fresh(), so that whoever was stopped for a while learns whether he still owns before he does
  /// anything else.
  /// errc::not_owner, with lost() set; errc::unreachable: nothing is known, ask again; errc::closed.
  task<result<void>> confirm();

  /// Gives the key back: the next one need not wait. Then renewing ends.
  task<> release();

  bool lost() const noexcept { return lost_; }
  /// True while nobody else can have taken the key, by this machine's steady clock: half a lease since the last renewal
  /// that was answered, counted from its sending. A process that was stopped is not fresh when it wakes.
  bool fresh() const noexcept { return std::chrono::steady_clock::now() - renewed_ < lease / 2; }
  const std::string& key() const noexcept { return key_; }

 private:
  task<result<std::uint64_t>> await_turn(patience p);
  task<result<void>> take(std::uint64_t expected);
  task<result<void>> yield_to_elder();
  task<result<bool>> lives(std::string other, std::uint64_t seq);
  task<> forget(std::string other, std::uint64_t seq);
  task<> renew();
  task<result<void>> renew_once();
  task<result<void>> look_whose();
  std::string value() const;

  bucket lock_;
  claim what_;
  std::string key_;
  std::function<std::string()> report_;
  std::function<void()> on_lost_;
  std::uint64_t seq_ = 0;
  std::uint64_t first_ = 0;  // the sequence at which we became owner: who came first
  bool held_ = false;
  bool lost_ = false;
  bool writing_ = false;  // a renewal is on its way
  bool standing_by_ = false;
  bool abandoned_ = false;
  std::string since_;
  std::chrono::steady_clock::time_point renewed_;
  event released_;
  event written_;
};

}  // namespace recordkv::kv
