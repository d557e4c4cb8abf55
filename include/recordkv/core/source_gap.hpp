// A stretch of time from which a source may have lost events.
//
// Owns: the causes, with their names, and the two ends of a gap. Does not know: how a gap is noticed or mended.
#pragma once

#include "recordkv/core/source_position.hpp"

#include <string_view>

namespace recordkv {

/// Why events may be missing between two times.
enum class gap_cause {
  clipped,          ///< the host began later than asked, and said nothing
  outdated_cursor,  ///< the host said that it no longer has everything since our cursor
  renumbered,       ///< the host's numbering began anew
  other_instance,   ///< another instance answered, whose numbers are not those of the cursor
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

/// A stretch of time from which events may be missing.
struct source_gap {
  gap_cause cause = gap_cause::clipped;
  source_position from;  ///< the last that was read before; time 0: not known
  source_position to;    ///< the first that was read behind it; seq 0: none has come yet
  bool none = false;     ///< what was told as a gap from `from` is none: an event within it has come
};

}  // namespace recordkv
