// What the builds of one view share in one process: lease, statistics, database, assigned partitions.
//
// Owns: waiting for a database that fails, and reading what the store is now (docs/invariants.md X21).
// Does not know: which builds there are, and how one is projected.
#pragma once

#include "recordkv/core/log.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/projection/view_source.hpp"
#include "recordkv/stage/lifecycle.hpp"
#include "recordkv/view/store.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace recordkv::stages {

/// A store's identity, and where its streams end. A position counts only for the store it was made from.
///
/// A view of accounts is of the store, too, although its stream is bucket `repo`. The identity is in key `meta` of that
/// very bucket: a bucket that is made anew has another generation. So the bucket's own creation time, which some
/// servers change (X19), proves nothing more. That the bucket was cut back shows in its last sequence.
struct history {
  kv::opened_store store;
  view::position start() const { return {.created = store.meta.created, .generation = store.meta.generation}; }
  std::uint64_t end_of(const projection::view_source& from) const { return from.state_in(store).last_seq; }
  bool holds(const view::position& at, const projection::view_source& from) const;
};

class view_context {
 public:
  view_context(stage_context& outer, std::string view, kv::lease_spec assignment, view::store& database,
               stages::part_hooks hooks);

  task<result<history>> read_history();

  /// Calls until the database answers without a failure. A database that is locked or full is waited for: nothing is
  /// lost meanwhile, and `status` reports it. Once the work has started (`started`), every failure of the database is
  /// waited for. At the start, a failure that no wait ends is returned.
  template <class Call>
  auto retry_while_unavailable(Call call, bool started) -> decltype(call()) {
    for (;;) {
      auto done = co_await call();
      if (done || !of_storage(done.error().code)) {
        last_error_.clear();
        co_return done;
      }
      if (last_error_.empty()) log::warn("index", "view {}: {}; trying again", name, done.error().text);
      last_error_ = done.error().text;
      last_error_code_ = done.error().code;
      if (life.lost() || life.closing() || (!started && !passes_by_itself(last_error_code_))) co_return done;
      co_await pause.wait_for(std::chrono::seconds(1));
    }
  }

  /// Removes the view's durables on a stream that are not in use: of builds that no longer exist, and of earlier
  /// assignments of partitions. This process holds the lease, so no other process uses them either.
  task<result<void>> remove_left_consumers(std::string stream, std::vector<std::string> in_use);

  /// Updates `shown.health` and `shown.warning`. `stall_of_consumer`: why a consumer does not move, or empty.
  void note_health(const std::string& stall_of_consumer);

  projection::view_source source_of(const view::plan& p) const {
    return {p.rows_of, ctx.names(), ctx.cfg.kv.partitions};
  }
  /// The labels in a subject: "*" if all partitions are assigned.
  std::vector<std::string> subject_labels() const;

  std::string name;
  kv::lease_spec spec;
  lifecycle life;
  part_stats& shown = life.stats();
  stage_context& ctx = life.context();  // counts into `shown`
  view::store& rows;
  std::vector<std::string> labels;
  std::string swap_refused;      ///< why a next build cannot be swapped in at present
  std::string database_warning;  ///< of store::look_after()
  event pause;                   // wakes everything that waits
  bool reads = false;            // a consumer was made: the start is over
  /// After a refused swap, the time of the next one. Until then the live build runs.
  std::chrono::steady_clock::time_point next_swap;

 private:
  cause stall_cause() const;
  std::string last_error_;
  errc last_error_code_ = errc::storage;
};

}  // namespace recordkv::stages
