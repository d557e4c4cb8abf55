// What an event's number means for the place where reading goes on.
//
// Owns: that place, the memory of recent frames, and the judgement of each number. A number is in order, late,
// repeated, regressed, or the first of a new numbering. Does not know: connections, counters and log lines. The time
// of day is an argument. Pure.
#pragma once

#include "recent_frames.hpp"
#include "recordkv/firehose/source.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace recordkv::firehose {

/// Where to begin: behind `seq`; without it behind `behind`; without both at the oldest event or live.
struct resume_point {
  std::optional<std::uint64_t> seq;  ///< of the furthest event that next() returned
  start_at start = start_at::live;
  std::optional<std::uint64_t> behind;  ///< a number that was asked for, or a time in µs
  double time = 0;                      ///< the newest believable time of what was returned
  double rev_time = 0;                  ///< the newest believable time inside a rev
};

/// From here on a Jetstream number is a time in µs.
inline constexpr std::uint64_t first_time_us = 1'000'000'000'000'000;

/// What one numbered event turned out to be.
struct placement {
  enum class turn {
    in_order,
    late,       ///< it came behind newer events and has not been returned before
    repeated,   ///< it has been returned before
    regressed,  ///< it is older than our memory, and no newer event: an earlier run has returned it
  };
  turn what = turn::in_order;
  bool counts_as_late = false;
  std::optional<std::uint64_t> behind;      ///< its number went back behind this one
  std::optional<std::uint64_t> renumbered;  ///< numbers begin anew, and this is the first of the new ones
  int witnesses = 0;                        ///< how many newer events in a row have shown it; 0: its form has
};

class numbering {
 public:
  /// `strict_order`: numbers rise strictly. Else they may also be times in µs, and may stay the same.
  numbering(bool strict_order, const source_spec& spec);

  const resume_point& place() const noexcept { return from_; }
  /// Where an earlier run stopped; 0 without one.
  std::uint64_t seq() const noexcept { return from_.seq.value_or(0); }
  /// No numbered event has come on this connection yet.
  bool fresh() const noexcept { return fresh_; }

  /// A connection begins; `again`: it is not the first.
  void connected(bool again) noexcept;

  /// False for a number from the future. `now`: seconds since 1970, here and below.
  bool believable(std::uint64_t seq, double now) const noexcept;
  /// The time where it can be believed, else 0.
  static double believable_time(double time, double now) noexcept;

  /// Whether the event shows that another instance answers, whose numbers are not those of the place.
  bool other_instance(const atproto::frame_summary& g, double now) const noexcept;

  /// Takes the place over from an event whose number is believable and of this instance.
  placement take(const atproto::frame_summary& g, std::string_view bytes, double now);

  /// The next connection begins by time, a little before the newest event.
  void resume_by_time() noexcept;
  /// The next connection begins at the oldest event.
  void begin_at_oldest() noexcept;
  /// The host does not know our number. Returns how often that has happened without an event in between.
  int restart();

 private:
  bool comparable(const atproto::frame_summary& g, double now) const noexcept;
  bool newer_event(const atproto::frame_summary& g, double now) const noexcept;
  placement take_behind(const atproto::frame_summary& g, std::string_view bytes, bool first, double now);
  void note_newest(const atproto::frame_summary& g, double now) noexcept;
  void went_back(const atproto::frame_summary& g, double now, placement& out);
  void begin_anew(std::uint64_t seq) noexcept;
  std::uint64_t time_with_overlap() const noexcept;

  bool strict_order_;
  resume_point from_;
  recent_frames recent_;
  bool fresh_ = false;
  struct {
    std::uint64_t first = 0, last = 0;
    int events = 0, untimed = 0;
  } back_;          // a run of rising numbers, all behind from_.seq, of newer events
  int resets_ = 0;  // of the numbering, without an event in between
};

/// The time of day, as numbering takes it.
double seconds_now();

}  // namespace recordkv::firehose
