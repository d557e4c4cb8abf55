// One view in one process: which builds of it there should be, and that they are folded.
//
// Owns: the view's lock, the choice of builds (docs/invariants.md X21): a live one is folded as long as it belongs to
// the store that is there, by its own definition; a next one is begun when the definition has changed, the store is
// another, or somebody wishes it. Refuses to know: how a build is folded (build_fold.hpp), and SQL.
#pragma once

#include "build_fold.hpp"

#include <memory>

namespace recordkv::stages {

class view_keeper {
 public:
  view_keeper(stage_context& ctx, view::plan plan, kv::claim share, view::store& rows);

  task<result<void>> run();
  void close() noexcept;

  /// What is to be told of the database that it shares with other views.
  void note_database(const view::upkeep& u);

 private:
  task<result<void>> keep();
  task<result<void>> choose();
  task<result<void>> begin_next(const history& now, const view::builds& there);
  task<result<void>> fold_both();
  task<result<void>> run_one(build_fold& f);
  task<> stop_live();
  task<result<void>> remove_left_consumers();
  std::unique_ptr<build_fold> fold_of(view::plan p, view::build b);
  std::string why_next(const history& now, const view::builds& there) const;

  task<> watch();
  task<> watch_wishes();
  bool superseded(const view::builds& there) const;
  bool moved_by_another(const std::unique_ptr<build_fold>& f, const std::optional<view::build>& b) const;
  void refresh();
  std::string report();

  view::plan plan_;
  const std::string hash_;
  const std::string database_;  // as a command finds it, from whatever directory it is called
  view_part part_;
  std::unique_ptr<build_fold> live_, next_;
  std::uint64_t live_number_ = 0;  // as last chosen
  std::uint64_t brought_in_ = 0;   // the build that we made live
  std::size_t running_ = 0;
  bool live_stops_ = false;  // on purpose: the next one is about to take its name
  bool chosen_before_ = false;
  bool ended_ = false;
  nats::pull_consumer::intake before_;  // of folds that have ended
  event changed_;
  figures_board::place shown_;
};

}  // namespace recordkv::stages
