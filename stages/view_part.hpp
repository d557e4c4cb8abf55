// What the builds of one view share in one process: its lock, its figures, its database, its share of the partitions.
//
// Owns: the lock's lifetime, the waiting for a database that is in trouble, what the store is now (docs/invariants.md
// X21). Refuses to know: which builds there are, and how one is folded.
#pragma once

#include "recordkv/core/figures.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/kv/owner.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/stage.hpp"
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

class view_part {
 public:
  /// `report`: what stands in the lock's value, a JSON object's text; asked at each renewal.
  view_part(stage_context& outer, std::string view, kv::claim share, view::store& database,
            std::function<std::string()> report);

  task<result<history>> read_history();

  /// Calls until the database is well. One that is locked or full is waited for; nothing is lost meanwhile, and
  /// `status` says it. In the middle of the work (`started`) every trouble of the database is; at the start one that no
  /// waiting mends ends it.
  template <class Call>
  auto patiently(Call call, bool started) -> decltype(call()) {
    for (;;) {
      auto done = co_await call();
      if (done || !of_storage(done.error().code)) {
        trouble_.clear();
        co_return done;
      }
      if (trouble_.empty()) log::warn("index", "view {}: {}; trying again", name, done.error().text);
      trouble_ = done.error().text;
      trouble_code_ = done.error().code;
      if (owner.lost() || closing || (!started && !passes_by_itself(trouble_code_))) co_return done;
      co_await pause.wait_for(std::chrono::seconds(1));
    }
  }

  /// Brings `shown.condition` and `shown.warning` up to date; `not_moving`: why a consumer does not move, or empty.
  void note_health(const std::string& not_moving);

  std::string stream() const { return ctx.names().store(); }
  std::string prefix() const { return ctx.names().prefix(); }
  /// The labels in a subject: "*" when the share is all.
  std::vector<std::string> subject_labels() const;

  std::string name;
  kv::claim share;
  figures shown;
  stage_context ctx;  // counts into `shown`
  view::store& rows;
  kv::owner owner;
  std::vector<std::string> labels;
  std::string swap_refused;      ///< why a next build can't take the name just now
  std::string database_warning;  ///< of store::look_after()
  event pause;                   // whoever waits looks again
  bool closing = false;
  bool reads = false;  // a consumer of ours was made: what follows is no longer the start
  /// The last swap was refused: until then the live build has its time.
  std::chrono::steady_clock::time_point next_swap;

 private:
  cause trouble_cause() const;
  std::string trouble_;
  errc trouble_code_ = errc::storage;
};

}  // namespace recordkv::stages
