// One view in one process: which builds of it there should be, and that each has a projector.
//
// The live build is projected by its own definition, as long as it belongs to the store that is there. A next build
// begins when the definition has changed, when the store is another one, or when a user asks for it.
//
// Owns: the choice of builds (docs/invariants.md X21).
// Does not know: how a build is projected (build_projector.hpp), and SQL.
#pragma once

#include "build_projector.hpp"

#include <memory>
#include <set>
#include <string>

namespace recordkv::stages {

class view_supervisor {
 public:
  view_supervisor(stage_context& ctx, view::plan plan, kv::lease_spec spec, view::store& rows);

  task<result<void>> run();
  void close() noexcept;

  /// What `status` shows of the database. Other views share it.
  void note_database(const view::upkeep& u);

 private:
  task<result<void>> work(nursery& children);
  task<result<void>> supervise();
  task<result<void>> choose();
  task<result<void>> begin_next(const history& now, const view::builds& there);
  task<result<void>> run_projectors();
  task<result<void>> run_one(build_projector& f);
  task<> stop_live();
  task<result<void>> remove_left_consumers();
  std::unique_ptr<build_projector> projector_of(view::plan p, view::build b);
  /// Why a next build is to be begun.
  enum class next_reason { none, is_new, never_built, other_store, other_definition, requested };
  next_reason why_next(const history& now, const view::builds& there) const;
  result<view::plan> plan_of(const view::build& b) const;
  projection::view_source source_of(const view::build& b) const;
  static std::string_view text_of(next_reason why) noexcept;

  task<> watch();
  task<> watch_requests();
  task<> look_at_generation();
  bool superseded(const view::builds& there) const;
  bool moved_by_another(const std::unique_ptr<build_projector>& f, const std::optional<view::build>& b) const;
  void refresh();
  void describe(boost::json::object& report) const;

  view::plan plan_;
  const std::string hash_;
  const std::string database_;  // as a command in any directory finds it
  view_context context_;
  std::unique_ptr<build_projector> live_, next_;
  std::set<std::string> streams_;  // that builds of this view read, as far as this process has seen
  std::uint64_t live_number_ = 0;  // as last chosen
  std::uint64_t brought_in_ = 0;   // the build that this process made live
  std::size_t running_ = 0;
  bool live_stops_ = false;  // on purpose: the next build is about to be swapped in
  bool chosen_before_ = false;
  bool ended_ = false;
  nats::pull_consumer::intake before_;  // of projectors that have ended
  event changed_;
};

}  // namespace recordkv::stages
