// Tracks which buffered frames have left stream `ingest`, so that the cursor may follow.
//
// Owns: which buffer this reading belongs to, the cursor's floor over it, the age of what is still unsettled.
// Does not know: NATS (it is given the stream's state), and where the cursor is kept.
#pragma once

#include "recordkv/nats/jetstream.hpp"
#include "recordkv/pipe/cursor_floor.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace recordkv::stages {

class buffer_watermark {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// Begins a reading on the buffer as it is now.
  void begin(const nats::stream_state& now);
  /// The source's numbering started again.
  void renumbered() {
    floor_.clear();
    samples_.clear();
  }

  void accepted(std::uint64_t buffer, source_position source, time now);
  void dropped(source_position source, time now) { floor_.dropped(source, now); }

  /// Takes the stream's state. False: this is not the stream on which the reading began.
  bool look(const nats::stream_state& stream, time now);
  /// The furthest position in the source whose frames left the buffer at least `hold` ago; returned once.
  std::optional<source_position> durable(time now, std::chrono::milliseconds hold);

  /// Everything that was in the buffer when the reading began has left it.
  bool earlier_run_settled() const noexcept { return earlier_run_settled_; }
  std::uint64_t standing() const noexcept { return standing_; }
  /// How long ago the oldest frame that is still in the buffer was read, to about a second.
  double oldest_seconds(time now) const noexcept;
  /// How long ago the frame after `cursor` was read, to about a second; 0 if none was read since.
  double age_seconds(std::optional<std::uint64_t> cursor, time now) const noexcept;

 private:
  struct sample {  // one a second: the newest frame at that time
    time at;
    std::uint64_t buffer, source;
  };
  pipe::cursor_floor floor_;
  std::string created_;
  std::uint64_t earlier_run_ends_ = 0, standing_ = 0, first_seq_ = 0;
  bool earlier_run_settled_ = false;
  std::deque<sample> samples_;
};

}  // namespace recordkv::stages
