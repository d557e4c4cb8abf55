#include "frame_router.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/kv/frame_batch.hpp"
#include "recordkv/kv/frame_origin.hpp"
#include "recordkv/kv/record_key.hpp"

#include <utility>

namespace recordkv::stages {

using firehose::frame;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t max_before_cursor = 1000;
constexpr std::chrono::milliseconds retry_pause{200};  // while NATS does not answer

}  // namespace

// The position of the event. An event without a number, or with one from the future, takes that of the event before
// it.
std::optional<source_position> frame_router::place_of(const frame& f) const {
  const bool timed = firehose::source_kind_named(ctx_.cfg.source.kind).timed;
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  if (f.info.seq > 0 && firehose::believable_number(f.info.seq, timed))
    return source_position(f.info.seq, f.info.time <= now + 300 ? f.info.time : 0);
  return passed_ ? passed_ : cursor_.at();
}

// What has no number of its own takes the position of the event before it.
source_position frame_router::place() const {
  if (!cursor_.at()) return passed_.value_or(source_position{});
  return passed_ ? later(*cursor_.at(), *passed_) : *cursor_.at();
}

void frame_router::begin() {
  passed_.reset();
  before_cursor_.clear();
  gathered_.begin(cursor_.at().value_or(source_position{}));
}

task<result<void>> frame_router::take(std::vector<frame> frames) {
  for (auto& f : frames)
    if (auto taken = co_await take_one(std::move(f)); !taken) co_return taken;
  co_return co_await put_gathered();
}

task<result<void>> frame_router::take_one(frame f) {
  if (f.what != frame::notice::none) co_return co_await take_notice(std::move(f));
  if (f.info.seq == 0 && f.info.kind != atproto::event_kind::unknown) co_return result<void>{};
  const auto at = place_of(f);
  const bool numbered = at && at->seq == f.info.seq && f.info.seq > 0;
  if (numbered) passed_ = at;
  if (f.info.seq > 0 && !numbered) ctx_.counters.add("notices", "future_number");
  if (!cursor_.at() && numbered) {  // "live" means one position from now on
    if (auto begun = co_await begin_cursor({at->seq - 1, at->time}); !begun) co_return begun;
    for (auto& early : std::exchange(before_cursor_, {}))
      if (auto marked = co_await mark_unreadable(early); !marked) co_return marked;
  }
  if (!filter_.wants(f.info)) {
    const bool unknown = f.info.kind == atproto::event_kind::unknown;
    ctx_.counters.add("skipped", unknown ? f.info.unknown_word() : "not_followed");
    if (numbered) pass(*at);
    co_return result<void>{};
  }
  co_return co_await gather(
      {.bytes = std::move(f.bytes), .did = std::move(f.info.did), .at = at.value_or(source_position{})});
}

// Frames before the dropped one may still wait for their message. The last of these then vouches for it.
void frame_router::pass(source_position at) {
  gathered_.passed(at);
  if (gathered_.empty()) watermark_.dropped(at, steady_clock::now());
}

std::string frame_router::partition_of(const std::string& did) const {
  return kv::partition_of(did, ctx_.cfg.kv.partitions);
}

task<result<void>> frame_router::gather(piece p) {
  const auto partition = partition_of(p.did);
  if (gathered_.must_wait(partition, p))
    if (auto done = co_await put_gathered(); !done) co_return done;
  gathered_.add(partition, std::move(p));
  if (!gathered_.is_full(partition)) co_return result<void>{};
  auto full = gathered_.take(partition);
  co_return co_await put(std::move(full));
}

task<result<void>> frame_router::put_gathered() {
  while (!gathered_.empty())
    if (auto done = co_await put(gathered_.take()); !done) co_return done;
  co_return result<void>{};
}

// A bare frame has no number beside that of the header, so it must be the last one that the message vouches for.
task<result<void>> frame_router::put(parcel p) {
  if (p.frames.size() == 1 && p.frames.front().at.seq == p.up_to.seq)
    co_return co_await put_bare(std::move(p.frames.front()), p.up_to);
  std::string batch;
  std::size_t bytes = kv::empty_batch_bytes;
  for (const auto& f : p.frames) bytes += kv::batched_frame_overhead + f.bytes.size();
  batch.reserve(bytes);
  for (const auto& f : p.frames) kv::append_frame(batch, {.seq = f.at.seq, .bytes = f.bytes});
  auto sent = co_await send(p.partition, p.up_to, false, std::move(batch));
  if (!sent && sent.error().code == errc::too_large) co_return co_await put_each(std::move(p));
  if (!sent) co_return sent.error();
  ctx_.counters.add("buffer_messages", "batch");
  buffered_ += p.frames.size();
  co_return result<void>{};
}

// The server takes no message of this length. Only the last frame vouches for all of them. Each keeps its own number,
// so it goes as a batch of one, unless even that is too long.
task<result<void>> frame_router::put_each(parcel p) {
  if (p.frames.size() == 1) co_return co_await put_bare(std::move(p.frames.front()), p.up_to);
  for (auto& f : p.frames) {
    const bool last = &f == &p.frames.back();
    parcel one{.partition = p.partition, .before = p.before, .up_to = last ? p.up_to : p.before};
    one.frames.push_back(std::move(f));
    if (auto done = co_await put(std::move(one)); !done) co_return done;
  }
  co_return result<void>{};
}

task<result<void>> frame_router::put_bare(piece p, source_position up_to, bool late) {
  const auto partition = partition_of(p.did);
  auto sent = co_await send(partition, up_to, late, std::move(p.bytes));
  if (!sent && sent.error().code == errc::too_large) {
    ctx_.counters.add("markers", "oversize");
    sent = co_await send(partition, up_to, late, fmt::format(R"({{"marker":"oversize","did":"{}"}})", p.did));
  }
  if (!sent) co_return sent.error();
  ctx_.counters.add("buffer_messages", "single");
  ++buffered_;
  co_return result<void>{};
}

task<result<nats::ordinal>> frame_router::send(const std::string& partition, source_position up_to, bool late,
                                               std::string payload) {
  nats::header_list headers;
  headers.push_back(
      {kv::origin_header,
       kv::text_of(
           {.source = cursor_.source(), .epoch = std::to_string(cursor_.epoch()), .seq = up_to.seq, .late = late})});
  auto put = co_await outbox_.put(ctx_.names().buffer_subject(partition), std::move(headers), std::move(payload));
  if (put) watermark_.accepted(outbox_.sequence_of(*put), up_to, steady_clock::now());
  co_return put;
}

// Marks the account whose event could not be read.
task<result<void>> frame_router::mark_unreadable(const frame& f) {
  ctx_.counters.add("markers", f.info.did.empty() ? "unreadable_unknown" : "unreadable");
  if (f.info.did.empty()) co_return result<void>{};
  if (auto done = co_await put_gathered(); !done) co_return done;
  co_return co_await put_bare(
      {.bytes = fmt::format(R"({{"marker":"unreadable","did":"{}","reason":"{}"}})", f.info.did, f.info.name),
       .did = f.info.did},
      place());
}

// The frame arrived after newer ones. Stage kv knows by the account's rev whether it is lost; the cursor does not go
// back.
task<result<void>> frame_router::take_late(frame f) {
  if (!cursor_.at() || !filter_.wants(f.info)) {
    ctx_.counters.add("skipped", "not_followed");
    co_return result<void>{};
  }
  co_return co_await put_bare({.bytes = std::move(f.bytes), .did = std::move(f.info.did)}, place(), true);
}

// What was read before it goes into the buffer before it.
task<result<void>> frame_router::take_notice(frame f) {
  if (auto done = co_await put_gathered(); !done) co_return done;
  switch (f.what) {
    case frame::notice::outdated_cursor:
      ctx_.counters.add("notices", "outdated_cursor");
      log::warn("ingest", "{} no longer has everything since the cursor: accounts may be stale", ctx_.cfg.source.url);
      co_return co_await note_gap(f.gap);
    case frame::notice::gap: ctx_.counters.add("notices", "gap"); co_return co_await note_gap(f.gap);
    case frame::notice::renumbered:
      ctx_.counters.add("notices", "renumbered");
      log::warn("ingest", "{} has started its numbering again: a new epoch begins", ctx_.cfg.source.url);
      co_return co_await begin_epoch(f.info.seq);
    case frame::notice::unreadable:
      if (cursor_.at() || f.info.did.empty()) co_return co_await mark_unreadable(f);
      if (before_cursor_.size() < max_before_cursor) before_cursor_.push_back(std::move(f));
      break;
    case frame::notice::late: co_return co_await take_late(std::move(f));
    case frame::notice::none: break;
  }
  co_return result<void>{};
}

bool frame_router::tries_again(const result<void>& done) const { return !done && !closing_ && passes(done.error()); }

task<result<void>> frame_router::begin_cursor(source_position value) {
  for (;;) {
    auto written = co_await cursor_.write(value, ctx_.nc.server_id());
    if (written) gathered_.passed(value);
    if (!tries_again(written)) co_return written;
    co_await pause_.wait_for(retry_pause);
  }
}

// The cursor is put before the first of the new numbers, as it is before the first event of all.
task<result<void>> frame_router::begin_epoch(std::uint64_t first) {
  watermark_.renumbered();
  passed_.reset();
  gathered_.begin({});
  cursor_.begin_epoch();
  if (first == 0) co_return result<void>{};
  co_return co_await begin_cursor(first - 1);
}

// The gap is written before any event behind it, so a kill cannot hide it.
task<result<void>> frame_router::note_gap(const source_gap& gap) {
  if (!cursor_.at() && !gap.none && gap.from.time == 0) co_return result<void>{};  // nothing was read before
  for (;;) {
    auto noted = co_await gaps_.note(gap);
    if (!tries_again(noted)) co_return noted;
    co_await pause_.wait_for(retry_pause);
  }
}

}  // namespace recordkv::stages
