// The life of one part of a stage: acquire the lease, work, release it, report health meanwhile.
//
// Owns: the lease with its renewal, the part's statistics and its place on the process's board, the report in the
// lease's value.
// Does not know: what the work is, and how it ends (part_hooks::stop).
#pragma once

#include "recordkv/core/nursery.hpp"
#include "recordkv/core/part_stats.hpp"
#include "recordkv/kv/lease.hpp"
#include "recordkv/stage.hpp"

#include <boost/json/object.hpp>

#include <functional>
#include <optional>
#include <string>

namespace recordkv::stages {

/// What a part adds to its lifecycle. No hook may suspend. Each may be empty.
struct part_hooks {
  std::function<void()> refresh;                       ///< updates the statistics before they are read
  std::function<void(boost::json::object&)> describe;  ///< adds the members that only this part's report has
  std::function<void()> stop;                          ///< the lease was lost: end the work at once
};

/// Why a part makes no progress. An empty text: it makes progress.
struct stall_reason {
  cause what{};
  std::string text;
};

/// Loop thread only. Outlives the work that it is given.
class lifecycle {
 public:
  /// `stage` names the part in statistics and log lines. Without a lease to hold (`what` empty), acquire() has nothing
  /// to do, and the part is on no board.
  lifecycle(const stage_context& outer, std::string stage, std::optional<kv::lease_spec> what, part_hooks hooks);

  /// Opens what the part needs, then acquires the lease. Tries again while NATS does not answer, until
  /// nats.start_timeout, or until close(). errc::lease_lost: another process holds the lease; errc::closed.
  task<result<void>> acquire(std::function<task<result<void>>()> open = {},
                             kv::lease::wait_policy policy = kv::lease::wait_policy::one_period);

  /// Tries a part of the start again while NATS does not answer, until nats.start_timeout or until close().
  task<result<void>> while_starting(std::function<task<result<void>>()> attempt);
  /// The time for a start begins again, because a standby takes over long after its own start.
  void start_again();

  /// Holds the lease while `work` runs: renews it, releases it, joins the children that `work` was given. The caller
  /// has acquired it. The result is the work's; errc::lease_lost with `taken_over` for its text if the lease was lost;
  /// none for errc::closed.
  task<result<void>> run(std::function<task<result<void>>(nursery& children)> work, std::string taken_over);

  /// The same in two steps, for work that is no single coroutine.
  task<> start();
  task<> release();

  /// Ends acquire(). Idempotent.
  void close() noexcept;
  bool closing() const noexcept { return closing_; }

  /// Notes the part's health. A lost connection to NATS or a denied permission takes precedence over the part's own
  /// reason.
  void note_health(const stall_reason& own);

  /// As in kv::lease. Without a lease to hold, it is always valid and never lost.
  task<result<void>> renew_if_stale();
  bool valid() const noexcept { return !lease_ || lease_->valid(); }
  bool lost() const noexcept { return lease_ && lease_->lost(); }
  bool standing_by() const noexcept { return lease_ && lease_->standing_by(); }

  part_stats& stats() noexcept { return stats_; }
  /// The stage's context; counts into stats().
  stage_context& context() noexcept { return ctx_; }

 private:
  task<result<void>> open_and_acquire(const std::function<task<result<void>>()>& open, kv::lease::wait_policy policy);
  void refresh() const;
  boost::json::object report();

  part_stats stats_;
  stage_context ctx_;
  part_hooks hooks_;
  std::optional<kv::lease> lease_;
  std::optional<nursery> renewal_;
  bool closing_ = false;
  stats_board::place shown_;
};

}  // namespace recordkv::stages
