// Whether what a connection brings first joins what was read before.
//
// Owns: the comparison of numbers and times at the seam, and its bound.
// Refuses to know: sockets, and what becomes of a gap. Pure.
#pragma once

#include "recordkv/firehose/source.hpp"

#include <optional>
#include <vector>

namespace recordkv::firehose {

class continuity {
 public:
  /// A source that has nothing to say for so long is quiet. Numbers that skip as well make it a gap.
  static constexpr double quiet_seconds = 600;

  /// A connection begins behind `last` of the present numbering.
  void begin(std::optional<source_position> last);
  /// A connection begins whose numbers can't be compared with those of `last`: only its time counts.
  void begin_by_time(source_position last, gap_cause why);
  /// The host says that it no longer has all since then.
  void outdated();

  /// One numbered event. A gap, or the taking back of one, is returned when the judgement has changed: it is made with
  /// the first event and made again with each of the next few, so that the clock of one account does not decide.
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
