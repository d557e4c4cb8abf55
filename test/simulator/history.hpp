// The events that were, as the bytes that go over the wire: written once, sent to every client from the same place.
//
// Owns: the bytes, each event's time and tag, and the window that remains of an endless history.
// Does not know: what an event says, sockets, pace.
#pragma once

#include "ws_frames.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

namespace recordkv::sim {

/// A run of events. Its bytes never move while a client holds it.
struct block {
  std::uint64_t first = 0;
  std::unique_ptr<char[]> bytes;
  std::size_t room = 0;
  std::vector<std::uint32_t> ends;  // end of each event's frame in `bytes`
  std::vector<std::uint16_t> tags;
  std::vector<std::uint64_t> times;

  std::size_t count() const noexcept { return ends.size(); }
  std::size_t used() const noexcept { return ends.empty() ? 0 : ends.back(); }
  std::size_t begin_of(std::size_t i) const noexcept { return i == 0 ? 0 : ends[i - 1]; }
  std::string_view frame(std::size_t i) const noexcept { return {bytes.get() + begin_of(i), ends[i] - begin_of(i)}; }
};

class history {
 public:
  /// Keeps at least the last `window` events; 0: all. They are text or binary messages.
  explicit history(std::uint64_t window, opcode kind = opcode::text) : window_(window), kind_(kind) {}

  /// Appends one event as one unmasked WebSocket frame.
  void append(std::string_view text, std::uint64_t time_us, std::uint16_t tag);

  std::uint64_t oldest() const noexcept { return blocks_.empty() ? 0 : blocks_.front()->first; }
  std::uint64_t end() const noexcept { return end_; }

  /// The block of event `index`, oldest() ≤ index < end().
  std::shared_ptr<const block> at(std::uint64_t index) const;

  /// The first event of time ≥ time_us that is still here; end() when there is none.
  std::uint64_t find(std::uint64_t time_us) const;

 private:
  block& with_room(std::size_t bytes);

  std::uint64_t window_;
  opcode kind_;
  std::deque<std::shared_ptr<block>> blocks_;
  std::uint64_t end_ = 0;
};

}  // namespace recordkv::sim
