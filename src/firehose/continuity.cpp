#include "continuity.hpp"

#include <algorithm>

namespace recordkv::firehose {
namespace {

constexpr std::size_t witnesses = 5;

}  // namespace

void continuity::begin(std::optional<source_position> last) {
  const bool still_outdated = outdated_ && !first_;
  *this = {};
  last_ = last;
  if (still_outdated) outdated();
}

void continuity::begin_by_time(source_position last, gap_cause why) {
  *this = {};
  last_ = last;
  numbers_count_ = false;
  cause_ = why;
}

void continuity::outdated() {
  outdated_ = told_ = true;
  cause_ = gap_cause::outdated_cursor;
}

// The event was read before, so nothing can be missing in front of it.
bool continuity::overlaps(source_position event) const {
  const bool older = event.time > 0 && last_->time > 0 && event.time <= last_->time;
  if (!numbers_count_) return older;
  return event.seq <= last_->seq && (older || event.time == 0 || last_->time == 0);
}

std::optional<source_gap> continuity::take(source_position event) {
  if (!last_ || times_.size() >= witnesses || joins_) return {};
  if (!first_) {
    first_ = event;
    const bool next = numbers_count_ && !outdated_ && event.seq == last_->seq + 1;
    joins_ = next || overlaps(event);
    if (!joins_ && numbers_count_ && !outdated_ && event.seq <= last_->seq) cause_ = gap_cause::renumbered;
  }
  if (event.time > 0) times_.push_back(event.time);
  if (times_.empty() && !joins_) return {};
  auto sorted = times_;
  std::sort(sorted.begin(), sorted.end());
  const double came = sorted.empty() ? 0 : sorted[(sorted.size() - 1) / 2];
  const bool late = outdated_ ? came > last_->time : last_->time > 0 && came - last_->time > quiet_seconds;
  const bool gap = !joins_ && late;
  if (gap == told_ && !(outdated_ && times_.size() == 1)) return {};
  told_ = gap;
  return source_gap{.cause = cause_, .from = *last_, .to = {first_->seq, came}, .none = !gap};
}

}  // namespace recordkv::firehose
