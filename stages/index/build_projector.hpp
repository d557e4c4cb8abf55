// Projects one build of a view from the store: its consumer, its batches, its position.
//
// Owns: the durable consumer of the build, and what was read and is not yet written. For a next build also the way
// from an empty table to the view's name: bulk load, catching up, the swap.
// Does not know: which builds there should be (view_supervisor.hpp), SQL, and what a row is made of.
//
// Reading goes on while a transaction runs. What is read meanwhile is the next transaction. So batches grow with the
// distance to the end of the store, and large batches are where a database is fastest.
#pragma once

#include "change_rate.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/nats/pull_consumer.hpp"
#include "recordkv/projection/view_changes.hpp"
#include "view_context.hpp"

#include <functional>
#include <optional>

namespace recordkv::stages {

class build_projector {
 public:
  /// `stop_live`: called by a next build before the swap; returns once the live build writes no more. Empty: the live
  /// build goes on (its partitions are shared between processes, or it has no projector).
  build_projector(view_context& part, view::plan plan, view::build of, std::function<task<>()> stop_live = {});

  /// Projects until closed. errc::conflict: the builds have changed, choose again (also after the swap).
  task<result<void>> run();
  void close() noexcept;

  const view::build& of() const noexcept { return build_; }
  const projection::view_source& source() const noexcept { return reading_.from; }
  bool swapped() const noexcept { return swapped_; }
  const nats::pull_consumer& inbox() const noexcept { return inbox_; }
  /// Why the consumer does not move although messages are waiting, or empty.
  const std::string& stall_reason() const noexcept { return stall_reason_; }
  std::uint64_t lowest() const { return projection::lowest_of(build_.at, context_.labels); }
  /// Messages that were read and are not yet in the table, and since when the oldest of them has been waiting.
  std::size_t in_flight() const noexcept { return waiting_.messages + written_now_.messages; }
  double oldest_seconds() const noexcept;
  /// The end of the store when it was last read; 0: not known yet. The build has caught up once it is there, or once
  /// nothing for the view is left before it.
  std::uint64_t goal() const noexcept { return goal_; }
  /// The name of a build's durable: the view's own for the live one.
  static std::string durable_of(const view_context& part, const view::build& b);

 private:
  nats::consumer_spec consumer();
  task<result<void>> project();
  task<result<void>> still_ours();
  task<result<void>> still_the_same();
  task<result<void>> edited(bool suspect);
  task<result<void>> take(std::vector<nats::message> batch);
  task<> gather_all(nats::message* from, nats::message* to);
  task<> gather(nats::message* from, nats::message* to);
  task<result<void>> write();
  task<> gather_more();
  task<result<void>> write_one();

  task<> watch();

  task<result<void>> bring_in();
  task<result<void>> catch_up();
  task<std::optional<std::uint64_t>> end_of_store();
  task<bool> nothing_after(std::uint64_t at);
  task<result<void>> swap_in();

  // What has been read since the last transaction began.
  struct unwritten {
    std::vector<view::change> changes;
    nats::message last;              // to settle
    std::vector<std::string> times;  // of the first and the last event of each batch
    std::size_t bytes = 0, messages = 0;
    std::chrono::steady_clock::time_point since;  // of the first message
  };

  view_context& context_;
  view::plan plan_;
  view::build build_;
  std::function<task<>()> stop_live_;
  projection::view_reading reading_;
  nats::pull_consumer inbox_;
  nursery children_;
  view::position ahead_;  // the position that has been read; build_.at follows it
  unwritten waiting_;
  struct {
    std::size_t messages = 0;
    std::chrono::steady_clock::time_point since;
  } written_now_;  // by the running transaction
  change_rate rate_;
  bool writing_ = false;
  bool bulk_passed_ = false;  // everything up to bulk_until has been read
  bool swapped_ = false;
  std::uint64_t goal_ = 0;
  std::string stall_reason_;
  event closing_;
  event gathered_;  // enough for a transaction has been read, or the projector has been closed
  event moved_;     // the position has moved, the bulk load has ended, or the projector has been closed
};

}  // namespace recordkv::stages
