// The third part of stream_source: what an event's number means for the place where reading goes on.
#include "stream_source.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/timestamp.hpp"

#include <algorithm>

namespace recordkv::firehose {
namespace {

// Clocks differ; what is further ahead than this is wrong.
constexpr double future_seconds = 300;
constexpr std::uint64_t max_seq = std::uint64_t{1} << 53;  // the lexicon's limit
// So many events in a row, each newer than all before and numbered lower, and the numbers have begun anew.
constexpr int proof = 3;
// The same for events that carry no time at all.
constexpr int proof_untimed = 5;
// Two events this close may be the same one, told by instances with other clocks.
constexpr double same_seconds = 5;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double believable_time(double t) { return t > 0 && t <= now_seconds() + future_seconds ? t : 0; }

}  // namespace

bool believable_number(std::uint64_t seq, bool may_be_time) {
  if (may_be_time && seq >= first_time_us) return static_cast<double>(seq) / 1e6 <= now_seconds() + future_seconds;
  return seq < max_seq;
}

bool stream_source::believable(std::uint64_t seq) const { return believable_number(seq, !dialect_.strict_order); }

bool stream_source::comparable(const atproto::glance& g) const {
  return (believable_time(g.time) > 0 && from_.time > 0) || (believable_time(g.rev_time) > 0 && from_.rev_time > 0);
}

// Newer by its time or by its rev than all that was returned. Where neither can be compared, it may be.
bool stream_source::newer_event(const atproto::glance& g) const {
  const double time = believable_time(g.time), rev = believable_time(g.rev_time);
  return (time > 0 && from_.time > 0 && time > from_.time) || (rev > 0 && from_.rev_time > 0 && rev > from_.rev_time);
}

// Takes the place over from a numbered event, once it is known to be one of our numbering.
stream_source::order stream_source::advance(const atproto::glance& g, std::string_view bytes, std::vector<frame>& out) {
  const bool timed = !dialect_.strict_order && from_.seq && *from_.seq >= first_time_us;
  const bool behind = from_.seq && g.seq <= *from_.seq;
  const bool first = std::exchange(fresh_, false);
  if (behind && dialect_.strict_order) return place_behind(g, bytes, first, out);
  if (behind && timed && g.seq < first_time_us) {
    begin_numbering(g);  // numbers where times stood: another server, or a newer one
    out.push_back({.what = frame::notice::renumbered, .info = {.seq = g.seq}});
  } else if (behind && !timed && g.seq < *from_.seq) {
    counters_.add("source_late");
    (void)went_back(g, out);
  } else if (!behind) {
    back_ = {};
    from_.seq = g.seq;
    from_.behind.reset();
    if (dialect_.strict_order) recent_.add(g.seq, bytes);
  }
  compare(g, out);
  note_newest(g);
  return order::in_turn;
}

// Where numbers rise strictly, one that does not is a repetition, comes late, or belongs to another numbering.
stream_source::order stream_source::place_behind(const atproto::glance& g, std::string_view bytes, bool first,
                                                 std::vector<frame>& out) {
  const auto seen = recent_.look(g.seq, bytes);
  const bool newer = newer_event(g);
  const bool includes_cursor = first && g.seq == *from_.seq && !newer;  // hosts differ in whether a cursor does
  if (seen == recent_frames::verdict::repeated || (seen == recent_frames::verdict::unknown && includes_cursor)) {
    compare(g, out);
    counters_.add("source_skipped", "repeat");
    return order::repeated;
  }
  if (went_back(g, out)) {
    recent_.add(g.seq, bytes);
    compare(g, out);
    note_newest(g);
    return order::in_turn;
  }
  compare(g, out);
  const bool remembered = seen == recent_frames::verdict::late;
  if (!remembered && comparable(g) && !newer) {  // no newer event, and from before our memory: an earlier run's
    counters_.add("source_skipped", "regress");
    return order::repeated;
  }
  counters_.add("source_late");
  return remembered ? order::late : order::in_turn;
}

void stream_source::note_newest(const atproto::glance& g) {
  resets_ = 0;
  if (from_.seq && g.seq < *from_.seq) return;  // the times stay those that the next one is compared with
  from_.time = std::max(from_.time, believable_time(g.time));
  from_.rev_time = std::max(from_.rev_time, believable_time(g.rev_time));
}

// A number that went back: one that comes late, or the beginning of another numbering. A few of them in a row decide.
bool stream_source::went_back(const atproto::glance& g, std::vector<frame>& out) {
  if (const auto n = late_told_.count(spec_.url, clock::now()))
    log::warn(dialect_.part, "{}: {} event{} came behind newer ones, the last with seq {} behind {}", spec_.url, n,
              n == 1 ? "" : "s", g.seq, *from_.seq);
  const bool timed = comparable(g);
  if ((timed && !newer_event(g)) || (back_.events > 0 && g.seq <= back_.last)) {
    back_ = {};
    return false;
  }
  if (back_.events++ == 0) back_.first = g.seq;
  back_.last = g.seq;
  if (!timed) ++back_.untimed;
  if (back_.events < (back_.untimed > 0 ? proof_untimed : proof)) return false;
  const auto first = back_.first;
  log::warn(dialect_.part, "{}: numbering began anew: {} newer events in a row from {} on, behind {}", spec_.url,
            back_.events, first, *from_.seq);
  begin_numbering(g);
  out.push_back({.what = frame::notice::renumbered, .info = {.seq = first}});
  return true;
}

void stream_source::begin_numbering(const atproto::glance& g) {
  counters_.add("source_renumbered");
  from_.seq = g.seq;
  from_.behind.reset();
  back_ = {};
  recent_.clear();
}

// Jetstream instances number for themselves. The first event behind a number shows whether it was of this instance: it
// is the event at the cursor, or one that follows closely.
bool stream_source::other_numbering(const atproto::glance& g) const {
  const bool numbers = !dialect_.strict_order && fresh_ && from_.seq && *from_.seq < first_time_us;
  const double time = believable_time(g.time);
  if (!numbers || time == 0 || from_.time == 0 || g.seq == *from_.seq + 1) return false;
  return g.seq < *from_.seq ? time > from_.time : time > from_.time + same_seconds;
}

std::uint64_t stream_source::time_with_overlap() const {
  return static_cast<std::uint64_t>(std::max(0.0, from_.time - same_seconds) * 1e6);
}

void stream_source::resume_by_time(const atproto::glance& g, std::vector<frame>& out) {
  const auto why = fmt::format(
      "event {} does not follow {}: another instance, with numbers of its own; going on by time", g.seq, *from_.seq);
  from_.seq.reset();
  from_.behind = time_with_overlap();
  by_time_ = gap_cause::other_instance;
  drop("other_instance", why);
  out.push_back({.what = frame::notice::renumbered});
}

void stream_source::compare(const atproto::glance& g, std::vector<frame>& out) {
  if (auto found = seam_.take({g.seq, believable_time(g.time)})) {
    if (found->none)
      log::info(dialect_.part, "{}: nothing is missing after all", spec_.url);
    else
      log::warn(dialect_.part, "{}: events may be missing from {} to {} ({})", spec_.url,
                timestamp_of(found->from.time), timestamp_of(found->to.time), name(found->cause));
    out.push_back({.what = frame::notice::gap, .gap = *found});
  }
}

}  // namespace recordkv::firehose
