// A position in a source's stream: a number, and the time of its event.
//
// Owns: which of two positions is later.
// Does not know: where numbers come from, and which of them are believable.
#pragma once

#include <cstdint>

namespace recordkv {

struct source_position {
  std::uint64_t seq = 0;
  double time = 0;  ///< seconds since 1970, as the source gives it; 0: not known

  source_position() = default;
  source_position(std::uint64_t s, double t = 0) : seq(s), time(t) {}  // NOLINT: a number alone is a position

  /// The later of two positions of one numbering. A position without a time keeps the earlier known time.
  friend source_position later(const source_position& before, const source_position& now) {
    if (now.seq < before.seq) return before;
    return {now.seq, now.time > before.time ? now.time : before.time};
  }
  friend bool operator==(const source_position&, const source_position&) = default;
};

}  // namespace recordkv
