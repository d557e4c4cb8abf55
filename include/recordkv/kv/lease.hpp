// A lease: the right to do a piece of work that only one process may do at a time (docs/invariants.md X7).
//
// A lease is a key in bucket `lock`, renewed every second. Its value carries a report, which `recordkv status` reads
// from any machine.
//
// Owns: the key while it is held, its renewal, and the check for an older lease that overlaps.
// Does not know: what the lease is for.
#pragma once

#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/partition_set.hpp"
#include "recordkv/kv/store_names.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace recordkv::kv {

/// This process, the same for all its leases.
struct process_identity {
  std::string id;    ///< random
  std::string host;  ///< boot id and pid namespace: processes with equal hosts see each other's pids
  int pid = 0;
  std::uint64_t started = 0;  ///< clock ticks since boot, from /proc: tells a reused pid from the old process
  static const process_identity& self();
  /// True when the process ran on this host and has certainly ended.
  bool certainly_dead() const;
};

/// What a lease is on: `base` alone, or some of its partitions.
struct lease_spec {
  std::string base;  ///< "ingest", "kv", "view-likes"
  std::optional<partition_set> assigned;
  unsigned partitions = 16;     ///< of the store
  int replicas = 1;             ///< of bucket lock
  store_names names{"record"};  ///< the store whose bucket lock it is
  std::string key() const { return base + (assigned ? assigned->suffix() : ""); }
};

/// Loop thread only.
class lease {
 public:
  /// A lease that was not renewed for so long has expired.
  static constexpr std::chrono::seconds period{5};
  /// Called at each renewal; must not suspend.
  using report_maker = std::function<boost::json::object()>;

  lease(nats::connection& nc, lease_spec what, report_maker report);

  enum class wait_policy {
    one_period,  ///< a holder that renews is an error
    stand_by,    ///< wait until the holder is gone, however long that takes
  };

  /// Acquires the lease by compare-and-set on its key. A key that was deleted, or whose process has certainly ended, is
  /// taken at once; one that is not renewed, after one period. A key that is renewed: errc::lease_lost, whose text
  /// names the holder, or standing by. After that, an older lease that overlaps: errc::lease_lost. Expired leases that
  /// overlap are removed. errc::closed after abandon().
  task<result<void>> acquire(wait_policy policy = wait_policy::one_period);

  /// True while acquire() stands by.
  bool standing_by() const noexcept { return standing_by_; }

  /// Makes acquire() return errc::closed soon.
  void abandon() noexcept;

  /// Renews until released. When the lease is lost, lost() is set and `on_lost` runs once.
  void start(nursery& children, std::function<void()> on_lost);

  /// Renews now, unless valid(). A process that was suspended thus learns whether it still holds the lease before it
  /// does anything else. errc::lease_lost, with lost() set; errc::unreachable: not known, ask again; errc::closed.
  task<result<void>> renew_if_stale();

  /// Deletes the key, so that the next process need not wait, and ends the renewal.
  task<> release();

  bool lost() const noexcept { return lost_; }
  /// True while no other process can have acquired the lease, by this machine's steady clock: for half a period after
  /// the last answered renewal was sent. False after the process was suspended for longer.
  bool valid() const noexcept { return std::chrono::steady_clock::now() - renewed_ < period / 2; }
  const std::string& key() const noexcept { return key_; }

 private:
  task<result<std::uint64_t>> await_turn(wait_policy policy);
  task<result<void>> take(std::uint64_t expected);
  task<result<void>> yield_to_older();
  task<result<bool>> lives(std::string other, std::uint64_t seq);
  task<> forget(std::string other, std::uint64_t seq);
  task<> renew();
  task<result<void>> renew_once();
  task<result<void>> read_holder();
  std::string value() const;

  bucket lock_;
  lease_spec what_;
  std::string key_;
  report_maker report_;
  std::function<void()> on_lost_;
  std::uint64_t seq_ = 0;
  std::uint64_t first_ = 0;  // the sequence with which the lease was acquired: tells which of two is older
  bool held_ = false;
  bool lost_ = false;
  bool writing_ = false;  // a renewal is under way
  bool standing_by_ = false;
  bool abandoned_ = false;
  std::string since_;
  std::chrono::steady_clock::time_point renewed_;
  event released_;
  event written_;
};

}  // namespace recordkv::kv
