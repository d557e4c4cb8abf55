// What the builds of one view share in one process: lease, statistics, database, assigned partitions.
//
// Owns: waiting for a database that fails, and reading what the store is now (docs/invariants.md X21).
// Does not know: which builds there are, and how one is projected.
#pragma once

#include "recordkv/core/log.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/stage/lifecycle.hpp"
#include "recordkv/view/store.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace recordkv::stages {

/// A store's identity and end. A position counts only for the store it was made from.
struct history {
  std::string created;
  std::vector<std::string> was;  ///< earlier creation times of the same store (X19)
  std::uint64_t generation = 0;
  std::uint64_t last_seq = 0;
  bool holds(const view::position& at) const;
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

  /// Updates `shown.health` and `shown.warning`. `stall_of_consumer`: why a consumer does not move, or empty.
  void note_health(const std::string& stall_of_consumer);

  std::string stream() const { return ctx.names().store(); }
  std::string prefix() const { return ctx.names().prefix(); }
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
