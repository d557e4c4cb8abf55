// Whether the first events of a connection join what was read before.
//
// Owns: the comparison of numbers and times where two connections meet, and its bound.
// Does not know: sockets, and what becomes of a gap. Pure.
#pragma once

#include "recordkv/firehose/source.hpp"

#include <optional>
#include <vector>

namespace recordkv::firehose {

class continuity {
 public:
  /// A pause up to this long is a quiet source. A longer pause in which numbers are missing is a gap.
  static constexpr double quiet_seconds = 600;

  /// A connection begins behind `last`, with the same numbering.
  void begin(std::optional<source_position> last);
  /// A connection begins with another numbering than that of `last`: only its time can be compared.
  void begin_by_time(source_position last, gap_cause why);
  /// The host says that it no longer has everything since then.
  void outdated();

  /// Takes one numbered event. The first event and the next few each judge the gap, so that the clock of a single
  /// account does not decide. When the judgement changes, the gap is returned, or the report that there is none.
  std::optional<source_gap> take(source_position event);

 private:
  bool overlaps(source_position event) const;

  std::optional<source_position> last_;
  bool numbers_count_ = true;
  bool outdated_ = false;
  gap_cause cause_ = gap_cause::clipped;
  std::optional<source_position> first_;
  bool joins_ = false;
  bool told_ = false;
  std::vector<double> times_;  // of the first few events
};

}  // namespace recordkv::firehose
