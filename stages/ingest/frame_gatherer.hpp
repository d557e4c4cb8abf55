// Gathers frames that arrived together, so that those of one partition share a message of the buffer.
//
// Owns: which frames share a message, and up to which position of the source each message vouches for.
// Does not know: NATS, the filter, and when a turn of the loop ends. Pure.
//
// The messages of one turn do not stand in the source's order, because each partition has its own. A message therefore
// vouches only for the events before the first frame that still waits here. A later start reads on from there.
#pragma once

#include "recordkv/core/source_position.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace recordkv::stages {

struct gather_limits {
  std::size_t frames = 16;                     ///< of one message
  std::size_t bytes = std::size_t{256} << 10;  ///< of one message; a longer frame is never gathered
};

class frame_gatherer {
 public:
  struct piece {
    std::string bytes;
    std::string did;
    source_position at;  ///< its own position, or that of the event before it
  };
  /// Frames for one message, in their order.
  struct parcel {
    std::string partition;
    std::vector<piece> frames;
    source_position before;  ///< everything up to here is in the buffer before this message is
    source_position up_to;   ///< and once this message is, everything up to here
  };

  explicit frame_gatherer(gather_limits limits = {}) : limits_(limits) {}

  /// True: the frame is too long to be gathered, or no longer fits into its partition's message. Take that message, or
  /// all of them, first.
  bool must_wait(const std::string& partition, const piece& p) const;
  /// Precondition: !must_wait().
  void add(const std::string& partition, piece p);
  /// The partition's message has all the frames that it may have.
  bool is_full(const std::string& partition) const;

  /// An event up to here was read, and needs no message.
  void passed(source_position at) { newest_ = later(newest_, at); }
  bool empty() const noexcept { return waiting_.empty(); }
  /// The message whose first frame has waited longest. Precondition: !empty().
  parcel take();
  /// The partition's message. Precondition: a frame of this partition was added and not taken.
  parcel take(const std::string& partition);
  /// Reading begins at another position. Frames that wait are dropped.
  void begin(source_position at) {
    waiting_.clear();
    newest_ = at;
  }

 private:
  struct gathered {
    std::string partition;
    std::vector<piece> frames;
    std::size_t bytes = 0;
    source_position before;
  };
  parcel take_at(std::deque<gathered>::iterator at);
  const gathered* find(const std::string& partition) const;

  gather_limits limits_;
  std::deque<gathered> waiting_;  // by their first frames
  source_position newest_;        // of all that was added or passed
};

}  // namespace recordkv::stages
