// A period in which a source may have lost events.
//
// Owns: the causes, with their names, and the two ends of a gap.
// Does not know: how a gap is noticed or repaired.
#pragma once

#include "recordkv/core/source_position.hpp"

#include <string_view>

namespace recordkv {

/// Why events may be missing between two times.
enum class gap_cause {
  clipped,          ///< the host began later than requested, without a notice
  outdated_cursor,  ///< the host said that it no longer has everything since the cursor
  renumbered,       ///< the host's numbering started again
  other_instance,   ///< another instance answered; its numbers are not those of the cursor
};
constexpr std::string_view name(gap_cause c) noexcept {
  switch (c) {
    case gap_cause::clipped: return "clipped";
    case gap_cause::outdated_cursor: return "outdated_cursor";
    case gap_cause::renumbered: return "renumbered";
    case gap_cause::other_instance: return "other_instance";
  }
  return "";
}

/// A period in which events may be missing.
struct source_gap {
  gap_cause cause = gap_cause::clipped;
  source_position from;  ///< the last position that was read before; time 0: not known
  source_position to;    ///< the first position that was read after it; seq 0: none yet
  bool none = false;     ///< the gap that was reported from `from` is none: an event within it has arrived
};

}  // namespace recordkv
