#include "recordkv/nats/publish_plan.hpp"

#include "recordkv/core/part_stats.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <algorithm>

namespace recordkv::nats {
namespace {

constexpr std::size_t max_control_line = 4096;  // nats-server's default, for subject, reply subject and sizes together
constexpr std::size_t reply_and_sizes = 192;    // of that, reply subject and sizes take at most this much
// Subject, headers and payload of a message must not exceed max_payload. "NATS/1.0", line ends and the fence count as
// well; their sizes are below. If the server gets a larger message, it closes the connection.
constexpr const char* fence_name = "Nats-Expected-Last-Sequence";
constexpr std::size_t header_lines = 12, fence_line = std::string_view(fence_name).size() + 4 + 20;
// nats-server counts 34 bytes more per message than its size (fileStoreMsgSize). 64 leaves a margin.
constexpr std::size_t stored_overhead = 64;

std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a - std::min(a, b); }

}  // namespace

publish_plan::publish_plan(publish_rules rules, meters& counters, std::uint64_t seed)
    : rules_(std::move(rules)),
      counters_(counters),
      backoff_(std::chrono::milliseconds(20), std::chrono::seconds(1), seed),
      window_(rules_.limits) {}

void publish_plan::attach(const stream_state& now, link_state link) {
  window_.abandon();
  sent_ = high_sent_ = fence_ordinal_ = window_.floor();
  ++attempt_;
  unanswered_ = 0;
  probe_.reset();
  suspect_ = foreign_ = asking_ = false;
  halt_ = halt::none;
  last_error_ = {errc::refused, {}};
  created_ = now.created;
  fence_ = stored_ = now.last_seq;
  max_size_ = now.max_msg_size > 0 ? static_cast<std::size_t>(now.max_msg_size) : SIZE_MAX;
  connects_ = link.connects;
  note_room(now);
}

result<std::size_t> publish_plan::measure(std::string_view subject, const header_list& headers,
                                          std::string_view payload, wire_limits wire) const {
  std::size_t size = subject.size() + payload.size() + header_lines + (rules_.fenced ? fence_line : 0);
  for (const auto& h : headers) size += std::string_view(h.name).size() + h.value.size() + 4;
  if (size > std::min(max_size_, wire.max_payload) ||
      subject.size() + wire.longer_on_the_wire + reply_and_sizes > max_control_line)
    return fail(errc::too_large, "{} bytes under a subject of {} can't be stored", size, subject.size());
  return size;
}

ordinal publish_plan::open(std::string subject, header_list headers, std::string payload, std::size_t size, time now) {
  if (rules_.fenced) headers.push_back({fence_name, {}});
  return window_.open(size, {.subject = std::move(subject),
                             .headers = std::move(headers),
                             .payload = std::move(payload),
                             .size = size,
                             .opened = now});
}

ordinal publish_plan::skip(time now) {
  const ordinal o = window_.skip({.opened = now});
  sent_ = std::max(sent_, window_.floor());
  return o;
}

bool publish_plan::due() const noexcept { return !suspect_ && halt_ == halt::none && sent_ < end(); }

std::optional<publish_plan::outgoing> publish_plan::next(time now, bool permitted) {
  if (!due()) return std::nullopt;
  while (sent_ < end() && window_.skipped(sent_)) ++sent_;
  if (sent_ >= end()) return std::nullopt;
  if (!permitted) {
    suspect({errc::refused, "this process was suspended or cut off; it asks whether it may still write"}, now);
    return std::nullopt;
  }
  const ordinal o = sent_++;
  item& i = window_.at(o);
  i.sent = now;
  ++i.tries;
  ++unanswered_;
  high_sent_ = std::max(high_sent_, o + 1);
  if (rules_.fenced) i.headers.back().value = std::to_string(sequence_of(o) - 1);
  return outgoing{attempt_, o, i.subject, i.headers, i.payload};
}

void publish_plan::not_sent(ordinal o, error why, time now) {
  if (unanswered_ > 0) --unanswered_;
  // The message was measured for another server. The present server has a lower limit.
  if (why.code == errc::too_large) return replace_by_marker(o, now);
  suspect(std::move(why), now);
}

void publish_plan::answered(std::uint64_t attempt, ordinal o, const result<std::uint64_t>& ack, time now) {
  if (halt_ != halt::none || attempt != attempt_ || o < floor() || o >= window_.next()) return;
  if (unanswered_ > 0) --unanswered_;
  if (!ack) return refused(o, ack.error(), now);
  if (rules_.latency) rules_.latency->observe(std::chrono::duration<double>(now - window_.at(o).sent).count());
  settle(o, *ack);
  if (probe_ != o) return;
  probe_.reset();
  backoff_.reset();
  if (!last_error_.text.empty())
    notices_.push_back({false, fmt::format("stream {} takes messages again", rules_.stream)});
  last_error_.text.clear();
}

void publish_plan::settle(ordinal o, std::uint64_t seq) {
  window_.at(o).seq = seq;
  window_.settle(o, [this](const item& i) {
    stored_ = std::max(stored_, i.seq);
    if (i.seq == 0) return;
    if (rules_.passed) rules_.passed(i.subject, i.seq);
    room_.messages = less(room_.messages, 1);
    room_.bytes = less(room_.bytes, i.size + stored_overhead);
  });
  sent_ = std::max(sent_, floor());
}

void publish_plan::refused(ordinal o, error why, time now) {
  if (why.code == errc::too_large) return replace_by_marker(o, now);
  // NATS answers 10077 both for a full stream and for a full disk. If the stream has room, the disk is full.
  const bool storage_failed = why.code == errc::full && has_room(window_.at(o));
  if (storage_failed) why.code = errc::no_space;
  counters_.add("errors", name(why.code));
  // If the message is the one at the floor, everything before it is stored. If it was also sent only once, a wrong
  // sequence means another writer (X1).
  if (rules_.fenced && why.code == errc::conflict && o == floor() && window_.at(o).tries == 1) foreign_ = true;
  suspect(std::move(why), now);
  judged_by_room_ = storage_failed;
}

// NATS will never store this message. A delete marker takes its place: an older value of the key must not seem current.
void publish_plan::replace_by_marker(ordinal o, time now) {
  item& i = window_.at(o);
  counters_.add("skipped", "too_large");
  notices_.push_back({true, fmt::format("{}: too large for NATS ({} bytes); skipped, an older value is deleted",
                                        i.subject, i.payload.size())});
  i.payload.clear();
  i.headers = {{"KV-Operation", "DEL"}};
  if (rules_.fenced) i.headers.push_back({fence_name, {}});
  suspect({errc::refused, "a message was too large"}, now);
}

// The server does not answer a publish that it denies. One denied message in the window is enough to suspect all.
void publish_plan::denied(const denial& d, std::string_view reply_prefix, time now) {
  if (halt_ != halt::none || d.what == denial::direction::subscribe) return;
  if (suspect_ && last_error_.code == errc::unauthorized) return;
  const bool our_reply = d.what == denial::direction::reply && d.subject.starts_with(reply_prefix);
  for (ordinal o = floor(); o < sent_; ++o) {
    if (window_.skipped(o)) continue;
    if (!our_reply && !(d.what == denial::direction::publish && d.names(window_.at(o).subject))) continue;
    counters_.add("errors", name(errc::unauthorized));
    return suspect(d.as_error(), now);
  }
}

// Something that was sent may be lost.
// Unfenced: the whole window is sent again, and late answers to the old attempt are ignored (X10). If a late
// answer counted, its message would not be sent again. But an older message of the same key could be sent again, and
// would overwrite it.
// Fenced: late answers still tell which messages were stored.
void publish_plan::suspect(error why, time now) {
  if (halt_ != halt::none) return;
  if (!suspect_) {
    suspect_ = true;
    counters_.add("publish_suspects");
    drain_until_ = now + (rules_.fenced ? rules_.answer_limit : std::chrono::milliseconds(0));
    pause(now);
  } else if (rules_.fenced && why.code == errc::conflict) {
    return;  // a consequence of the first refusal, which holds the real reason
  }
  if (last_error_.text.empty())
    notices_.push_back({true, fmt::format("stream {} refuses: {}", rules_.stream, why.text)});
  last_error_ = std::move(why);
  judged_by_room_ = false;
  probe_.reset();
  if (rules_.fenced) return;
  window_.refuse(floor());
  ++attempt_;
  unanswered_ = 0;
}

// No pause before the first resend.
void publish_plan::pause(time now) {
  const auto length = backoff_.next();
  pause_until_ = backoff_.failures() > 1 ? now + length : now;
}

bool publish_plan::silent(time now) const {
  return sent_ > floor() && now - window_.at(floor()).sent > rules_.answer_limit;
}

void publish_plan::look(link_state link, time now) {
  if (!attached() || halt_ != halt::none) return;
  if (link.up && link.connects != connects_) {
    connects_ = link.connects;
    unanswered_ = 0;  // outstanding answers are lost with the connection
    suspect({errc::refused, "the connection was lost"}, now);
  } else if (!suspect_ && silent(now)) {
    suspect(fail(errc::timed_out, "no answer within {} ms", rules_.answer_limit.count()), now);
  }
}

std::chrono::milliseconds publish_plan::patience(time now, std::chrono::milliseconds most) const noexcept {
  if (!suspect_ || now >= pause_until_) return most;
  return std::min(most, std::chrono::ceil<std::chrono::milliseconds>(pause_until_ - now));
}

bool publish_plan::should_ask(link_state link, time now) const noexcept {
  if (!suspect_ || asking_ || halt_ != halt::none || !link.up) return false;
  const bool answers_to_come = unanswered_ > 0 && link.connects == connects_ && now < drain_until_;
  return !answers_to_come && now >= pause_until_;
}

void publish_plan::asking() noexcept {
  asking_ = true;
  acknowledged_ = rules_.fenced ? sequence_of(floor()) - 1 : stored_;
}

// Compares the stream's state with what the plan has sent (X1, X3).
bool publish_plan::told(const result<stream_state>& now_there, time now) {
  if (!asking_ || halt_ != halt::none) return false;
  if (!now_there && now_there.error().code == errc::not_found) {
    stop(halt::stream_lost, "it no longer exists");
  } else if (!now_there) {
    asking_ = false;
    pause(now);
  } else if (now_there->created != created_ || now_there->last_seq < acknowledged_) {
    stop(halt::stream_lost, "it was recreated or cut back below what it had acknowledged");
  } else if (rules_.fenced && (foreign_ || now_there->last_seq >= sequence_of(high_sent_))) {
    stop(halt::foreign, "another writer has written to it");
  } else {
    while (rules_.fenced && floor() < window_.next() && sequence_of(floor()) <= now_there->last_seq)
      settle(floor(), sequence_of(floor()));
    note_room(*now_there);
    // The plan had taken the refusal for a full disk. The stream now says that it has no room: the stream is full, not
    // the disk.
    if (judged_by_room_ && !window_.empty() && !has_room(window_.at(floor()))) last_error_.code = errc::full;
    return true;
  }
  return false;
}

void publish_plan::resume(bool permitted, time now) {
  if (!asking_ || halt_ != halt::none) return;
  asking_ = false;
  if (!permitted || foreign_) return pause(now);
  suspect_ = false;
  window_.reopen();
  ++attempt_;
  unanswered_ = 0;
  sent_ = floor();
  // The probe goes alone: while the stream refuses the probe, sending more is useless.
  if (window_.empty())
    last_error_.text.clear();
  else
    probe_ = floor();
}

void publish_plan::stop(halt why, std::string text) {
  halt_ = why;
  asking_ = false;
  notices_.push_back({true, fmt::format("stream {}: {}", rules_.stream, text)});
  last_error_ = {errc::conflict, std::move(text)};
}

std::vector<publish_plan::notice> publish_plan::take_notices() { return std::exchange(notices_, {}); }

void publish_plan::note_room(const stream_state& now) {
  const auto left = [](std::int64_t limit, std::uint64_t used) {
    return limit <= 0 ? UINT64_MAX : less(static_cast<std::uint64_t>(limit), used);
  };
  room_ = {left(now.max_msgs, now.messages), left(now.max_bytes, now.bytes)};
}

bool publish_plan::has_room(const item& i) const noexcept {
  return room_.messages > 0 && room_.bytes >= i.size + stored_overhead;
}

cause publish_plan::stall_reason(bool up, cause when_full) const noexcept {
  if (!up) return cause::nats_down;
  switch (last_error_.code) {
    case errc::unreachable: return cause::nats_down;
    case errc::unauthorized: return cause::nats_denied;
    case errc::full: return when_full;
    case errc::no_space: return cause::disk_full;
    default: return cause::store_refuses;
  }
}

std::chrono::duration<double> publish_plan::oldest(time now) const noexcept {
  return window_.empty() ? std::chrono::duration<double>(0) : now - window_.at(floor()).opened;
}

}  // namespace recordkv::nats
