// Which of the frames behind our place in the stream have been seen already.
//
// Owns: numbers and fingerprints of the last few thousand frames, and how far back that memory is complete.
// Refuses to know: connections, and what is done with a frame that comes late.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

namespace recordkv::firehose {

class recent_frames {
 public:
  enum class verdict {
    repeated,  ///< this very frame has passed before
    late,      ///< it has not, although newer ones have
    unknown,   ///< it lies further back than memory reaches
  };

  /// `from`: the frames up to it are known to somebody else, an earlier run.
  explicit recent_frames(std::optional<std::uint64_t> from) : complete_above_(from.value_or(0)) {}

  /// A frame newer than all before it.
  void add(std::uint64_t seq, std::string_view bytes);
  /// One that is not newer. A late one is remembered from now on.
  verdict look(std::uint64_t seq, std::string_view bytes);

  /// A new connection: what the host repeats from before our first frame was never promised.
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
