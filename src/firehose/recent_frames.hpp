// Which frames behind our place in the stream have been seen already.
//
// Owns: numbers and fingerprints of the last few thousand frames, and how far back that memory is complete.
// Does not know: connections, and what is done with a late frame.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

namespace recordkv::firehose {

class recent_frames {
 public:
  enum class verdict {
    repeated,  ///< exactly this frame has been seen
    late,      ///< it has not been seen, although newer frames have
    unknown,   ///< it lies further back than the memory reaches
  };

  /// `from`: an earlier run has read the frames up to here.
  explicit recent_frames(std::optional<std::uint64_t> from) : complete_above_(from.value_or(0)) {}

  /// A frame newer than all before it.
  void add(std::uint64_t seq, std::string_view bytes);
  /// A frame that is not newer. A late frame is remembered from now on.
  verdict look(std::uint64_t seq, std::string_view bytes);

  /// A new connection. The host may repeat frames from before our first frame, and those are not remembered.
  void reconnected() noexcept;
  /// The numbering begins anew.
  void clear() noexcept;

 private:
  struct seen {
    std::uint64_t seq;
    std::uint64_t fingerprint;
  };
  std::uint64_t complete_above_;
  std::deque<seen> seen_;  // ascending by seq
};

}  // namespace recordkv::firehose
