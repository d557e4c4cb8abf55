#include "numbering.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace recordkv::firehose {
namespace {

// Clocks differ, but not by more than this.
constexpr double future_seconds = 300;
constexpr std::uint64_t max_seq = std::uint64_t{1} << 53;  // the lexicon's limit
// When this many events in a row are newer than all before and numbered lower, the numbers have begun anew.
constexpr int proof = 3;
// The same for events that carry no time.
constexpr int proof_untimed = 5;
// Two events this close may be the same event, sent by instances with different clocks.
constexpr double same_seconds = 5;

bool not_of_the_future(std::uint64_t seq, bool may_be_time, double now) noexcept {
  if (may_be_time && seq >= first_time_us) return static_cast<double>(seq) / 1e6 <= now + future_seconds;
  return seq < max_seq;
}

}  // namespace

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool believable_number(std::uint64_t seq, bool may_be_time) {
  return not_of_the_future(seq, may_be_time, seconds_now());
}

numbering::numbering(bool strict_order, const source_spec& spec)
    : strict_order_(strict_order),
      from_{.start = spec.start, .behind = spec.begin_behind},
      recent_(spec.cursor ? std::optional(spec.cursor->seq) : std::nullopt) {
  if (!spec.cursor) return;
  from_.seq = spec.cursor->seq;
  from_.time = spec.cursor->time;
  from_.behind.reset();
  if (from_.time == 0 && !strict_order_ && *from_.seq >= first_time_us)
    from_.time = static_cast<double>(*from_.seq) / 1e6;
}

void numbering::connected(bool again) noexcept {
  if (again) recent_.reconnected();
  fresh_ = true;
}

bool numbering::believable(std::uint64_t seq, double now) const noexcept {
  return not_of_the_future(seq, !strict_order_, now);
}

double numbering::believable_time(double time, double now) noexcept {
  return time > 0 && time <= now + future_seconds ? time : 0;
}

bool numbering::comparable(const atproto::frame_summary& g, double now) const noexcept {
  return (believable_time(g.time, now) > 0 && from_.time > 0) ||
         (believable_time(g.rev_time, now) > 0 && from_.rev_time > 0);
}

// Whether its time or its rev is newer than everything that was returned. False where neither can be compared.
bool numbering::newer_event(const atproto::frame_summary& g, double now) const noexcept {
  const double time = believable_time(g.time, now), rev = believable_time(g.rev_time, now);
  return (time > 0 && from_.time > 0 && time > from_.time) || (rev > 0 && from_.rev_time > 0 && rev > from_.rev_time);
}

// Every Jetstream instance has its own numbers. The first event shows whether the cursor came from this instance: it is
// then the event at the cursor, or an event shortly after it.
bool numbering::other_instance(const atproto::frame_summary& g, double now) const noexcept {
  const bool numbers = !strict_order_ && fresh_ && from_.seq && *from_.seq < first_time_us;
  const double time = believable_time(g.time, now);
  if (!numbers || time == 0 || from_.time == 0 || g.seq == *from_.seq + 1) return false;
  return g.seq < *from_.seq ? time > from_.time : time > from_.time + same_seconds;
}

placement numbering::take(const atproto::frame_summary& g, std::string_view bytes, double now) {
  const bool timed = !strict_order_ && from_.seq && *from_.seq >= first_time_us;
  const bool behind = from_.seq && g.seq <= *from_.seq;
  const bool first = std::exchange(fresh_, false);
  if (behind && strict_order_) return take_behind(g, bytes, first, now);
  placement out;
  if (behind && timed && g.seq < first_time_us) {
    begin_anew(g.seq);  // numbers where times stood: another server, or a newer one
    out.renumbered = g.seq;
  } else if (behind && !timed && g.seq < *from_.seq) {
    out.counts_as_late = true;
    went_back(g, now, out);
  } else if (!behind) {
    back_ = {};
    from_.seq = g.seq;
    from_.behind.reset();
    if (strict_order_) recent_.add(g.seq, bytes);
  }
  note_newest(g, now);
  return out;
}

// Where numbers rise strictly, a lower number is a repetition, comes late, or belongs to another numbering.
placement numbering::take_behind(const atproto::frame_summary& g, std::string_view bytes, bool first, double now) {
  using turn = placement::turn;
  using verdict = recent_frames::verdict;
  placement out;
  const auto seen = recent_.look(g.seq, bytes);
  const bool newer = newer_event(g, now);
  const bool includes_cursor = first && g.seq == *from_.seq && !newer;  // hosts differ in whether a cursor does
  if (seen == verdict::repeated || (seen == verdict::unknown && includes_cursor)) {
    out.what = turn::repeated;
    return out;
  }
  went_back(g, now, out);
  if (out.renumbered) {
    recent_.add(g.seq, bytes);
    note_newest(g, now);
    return out;
  }
  const bool remembered = seen == verdict::late;
  if (!remembered && comparable(g, now) && !newer) {
    out.what = turn::regressed;
    return out;
  }
  out.counts_as_late = true;
  out.what = remembered ? turn::late : turn::in_order;
  return out;
}

void numbering::note_newest(const atproto::frame_summary& g, double now) noexcept {
  resets_ = 0;
  if (from_.seq && g.seq < *from_.seq) return;  // the next event is compared with the times of the furthest
  from_.time = std::max(from_.time, believable_time(g.time, now));
  from_.rev_time = std::max(from_.rev_time, believable_time(g.rev_time, now));
}

// The number went back: the event is late, or another numbering has begun. A few such events in a row decide.
void numbering::went_back(const atproto::frame_summary& g, double now, placement& out) {
  out.behind = from_.seq;
  const bool timed = comparable(g, now);
  if ((timed && !newer_event(g, now)) || (back_.events > 0 && g.seq <= back_.last)) {
    back_ = {};
    return;
  }
  if (back_.events++ == 0) back_.first = g.seq;
  back_.last = g.seq;
  if (!timed) ++back_.untimed;
  if (back_.events < (back_.untimed > 0 ? proof_untimed : proof)) return;
  out.renumbered = back_.first;
  out.witnesses = back_.events;
  begin_anew(g.seq);
}

void numbering::begin_anew(std::uint64_t seq) noexcept {
  from_.seq = seq;
  from_.behind.reset();
  back_ = {};
  recent_.clear();
}

std::uint64_t numbering::time_with_overlap() const noexcept {
  return static_cast<std::uint64_t>(std::max(0.0, from_.time - same_seconds) * 1e6);
}

void numbering::resume_by_time() noexcept {
  from_.seq.reset();
  from_.behind = time_with_overlap();
}

void numbering::begin_at_oldest() noexcept {
  from_.seq.reset();
  from_.start = start_at::oldest;
  from_.behind.reset();
}

// Everything that the host has may be new to us. Starting live would skip what came meanwhile.
int numbering::restart() {
  begin_at_oldest();
  if (!strict_order_ && from_.time > 0) from_.behind = time_with_overlap();
  recent_.clear();
  back_ = {};
  return ++resets_;
}

}  // namespace recordkv::firehose
