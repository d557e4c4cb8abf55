#include "recordkv/nats/publisher.hpp"

#include "recordkv/core/log.hpp"

namespace recordkv::nats {
namespace {

constexpr std::size_t max_control_line = 4096;  // nats-server's default; subject, reply and sizes share it
// What max_payload counts besides: "NATS/1.0", the lines' ends, and the fence that send() adds. A message beyond it
// would cost the connection, again and again.
constexpr std::size_t header_lines = 12, fence_line = std::string_view("Nats-Expected-Last-Sequence: \r\n").size() + 20;
constexpr std::chrono::milliseconds tick{200};

}  // namespace

publisher::publisher(connection& nc, publisher_spec spec, meters& counters)
    : nc_(nc),
      spec_(std::move(spec)),
      counters_(counters),
      id_(nc.add_reply_sink([this](std::uint64_t attempt, ordinal o, const message& m) { answered(attempt, o, m); })),
      denial_sink_(nc.add_denial_sink([this](const denial& d) { denied(d); })),
      window_(spec_.limits),
      backoff_(std::chrono::milliseconds(20), std::chrono::seconds(1)) {}

publisher::~publisher() {
  nc_.remove_reply_sink(id_);
  nc_.remove_denial_sink(denial_sink_);
}

void publisher::attach(const stream_state& now) {
  window_.abandon();
  items_.clear();
  base_ = sent_ = high_sent_ = fence_ordinal_ = window_.floor();
  ++attempt_;
  unanswered_ = 0;
  probe_.reset();
  doubt_ = foreign_ = false;
  halt_ = halt::none;
  last_error_.clear();
  created_ = now.created;
  fence_ = stored_ = now.last_seq;
  max_size_ = now.max_msg_size > 0 ? static_cast<std::size_t>(now.max_msg_size) : SIZE_MAX;
  connects_ = nc_.connects();
}

void publisher::start(nursery& children) {
  children.spawn(watch());
  children.spawn(watch_connection());
}

void publisher::close() noexcept {
  closed_ = true;
  woken_.notify();
  moved_.notify();
}

task<result<ordinal>> publisher::put(std::string subject, header_list headers, std::string payload) {
  std::size_t size = subject.size() + payload.size() + header_lines + (spec_.fenced ? fence_line : 0);
  for (const auto& h : headers) size += std::string_view(h.name).size() + h.value.size() + 4;
  if (size > std::min(max_size_, nc_.max_payload()) ||
      subject.size() + nc_.longer_on_the_wire() + 192 > max_control_line)
    co_return fail(errc::too_large, "{} bytes under a subject of {} can't be stored", size, subject.size());
  while (running() && window_.full()) co_await moved_.wait();
  while (running() && !co_await may_write()) co_await woken_.wait_for(tick);
  if (closed_) co_return fail(errc::closed, "{}: closed", spec_.name);
  if (halt_ != halt::none) co_return fail(errc::conflict, "{}: {}", spec_.name, last_error_);
  const ordinal o = window_.open(size);
  items_.push_back({.subject = std::move(subject),
                    .headers = std::move(headers),
                    .payload = std::move(payload),
                    .opened = std::chrono::steady_clock::now()});
  if (sent_ == o && !doubt_ && !probe_) send_waiting();
  co_return o;
}

ordinal publisher::skip() {
  items_.push_back({.opened = std::chrono::steady_clock::now(), .skipped = true});
  if (sent_ == window_.next()) ++sent_;
  const ordinal o = window_.skip();
  settle(o, 0);
  return o;
}

void publisher::send(ordinal o) {
  auto& i = items_[o - base_];
  if (i.skipped) return;
  i.sent = std::chrono::steady_clock::now();
  ++i.tries;
  const auto reply = fmt::format("{}.p{}.{}.{}", nc_.inbox(), id_, attempt_, o);
  result<void> sent;
  if (spec_.fenced) {
    header_list headers = i.headers;
    headers.push_back({"Nats-Expected-Last-Sequence", std::to_string(fence_ + (o - fence_ordinal_))});
    sent = nc_.publish(i.subject, reply, headers, i.payload);
  } else {
    sent = nc_.publish(i.subject, reply, i.headers, i.payload, spec_.leave.fresh != nullptr);
  }
  high_sent_ = std::max(high_sent_, o + 1);
  ++unanswered_;
  if (!sent) doubt(sent.error().text, sent.error().code);
}

void publisher::send_waiting() {
  for (; sent_ < window_.next() && !doubt_; ++sent_) send(sent_);
}

void publisher::answered(std::uint64_t attempt, ordinal o, const message& reply) {
  if (attempt != attempt_ || o < base_ || o >= window_.next()) return;
  if (unanswered_ > 0) --unanswered_;
  const auto ack = parse_pub_ack(reply.data());
  if (!ack && ack.error().code == errc::too_large) return leave_out(o);
  if (!ack) {
    counters_.add("errors", name(ack.error().code));
    // All before it stands and it was sent only once: nobody but another writer can have moved the sequence (X1).
    if (spec_.fenced && ack.error().code == errc::conflict && o == base_ && items_.front().tries == 1) foreign_ = true;
    return doubt(ack.error().text, ack.error().code);
  }
  if (spec_.latency)
    spec_.latency->observe(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - items_[o - base_].sent).count());
  settle(o, *ack);
  if (probe_ == o) {
    probe_.reset();
    backoff_.reset();
    if (!last_error_.empty()) log::info(spec_.name, "stream {} takes messages again", spec_.stream);
    last_error_.clear();
    // The answer may have lain there while we were stopped: what waits behind it asks, as a put does.
    if (sent_ < window_.next() && spec_.leave.fresh && !spec_.leave.fresh())
      doubt("this process was stopped or cut off; asking whether it is still its to write");
    else
      send_waiting();
  }
  if (doubt_ && unanswered_ == 0) woken_.notify();
}

// A refused publish is never answered. The oldest of ours tells enough: all behind it is sent again in any case.
void publisher::denied(const denial& d) {
  if (!running() || d.what == denial::direction::subscribe || (doubt_ && last_error_code_ == errc::unauthorized))
    return;
  for (ordinal o = base_; o < sent_; ++o) {
    const auto& i = items_[o - base_];
    if (i.skipped) continue;
    const bool its_reply =
        d.what == denial::direction::reply && d.subject.starts_with(fmt::format("{}.p{}.", nc_.inbox(), id_));
    if (!its_reply && !(d.what == denial::direction::publish && d.names(i.subject))) continue;
    counters_.add("errors", name(errc::unauthorized));
    return doubt(d.as_error().text, errc::unauthorized);
  }
}

void publisher::settle(ordinal o, std::uint64_t seq) {
  items_[o - base_].seq = seq;
  window_.settle(o);
  if (base_ == window_.floor()) return;
  for (; base_ < window_.floor(); ++base_) {
    stored_ = std::max(stored_, items_.front().seq);
    items_.pop_front();
  }
  sent_ = std::max(sent_, base_);
  moved_.notify();
}

// From here on nothing is known for certain. Unfenced, answers that are still to come say nothing about the order in
// which a resend would end (X10); fenced, they still tell what was stored.
void publisher::doubt(std::string why, errc code) {
  if (!doubt_) counters_.add("publish_doubts");
  if (last_error_.empty()) log::warn(spec_.name, "stream {} refuses: {}", spec_.stream, why);
  last_error_ = std::move(why);
  last_error_code_ = code;
  doubt_ = true;
  probe_.reset();
  if (!spec_.fenced) {
    window_.refuse(
        base_);  // all of it: one that is settled behind the floor would stay below an older value sent again
    ++attempt_;
    unanswered_ = 0;
  }
  woken_.notify();
}

// NATS will never take this one (10054). An older value of its key must not stay as if it were current.
void publisher::leave_out(ordinal o) {
  auto& i = items_[o - base_];
  counters_.add("skipped", "too_large");
  log::warn(spec_.name, "{}: too large for NATS ({} bytes); left out, an older value is deleted", i.subject,
            i.payload.size());
  i.payload.clear();
  i.headers = {{"KV-Operation", "DEL"}};
  doubt("a message was too large");
}

cause publisher::stall_cause(cause full) const noexcept {
  if (!nc_.up() || last_error_code_ == errc::unreachable) return cause::nats_down;
  if (last_error_code_ == errc::unauthorized) return cause::nats_denied;
  if (last_error_code_ == errc::full) return full;
  // 10047 and 10023 are JetStream's own limits, the rest the operating system's words.
  const bool disk =
      last_error_.find("insufficient") != std::string::npos || last_error_.find("no space") != std::string::npos;
  return disk ? cause::disk_full : cause::store_refuses;
}

std::chrono::duration<double> publisher::oldest() const noexcept {
  return items_.empty() ? std::chrono::duration<double>(0) : std::chrono::steady_clock::now() - items_.front().opened;
}

bool publisher::silent() const {
  return !items_.empty() && sent_ > base_ && !items_.front().skipped &&
         std::chrono::steady_clock::now() - items_.front().sent > spec_.answer_limit;
}

void publisher::stop(halt why, std::string text) {
  halt_ = why;
  last_error_ = std::move(text);
  log::warn(spec_.name, "stream {}: {}", spec_.stream, last_error_);
  moved_.notify();
}

task<> publisher::watch_connection() {
  while (!closed_) {
    co_await nc_.changed().wait_for(tick);
    if (nc_.up() && nc_.connects() != connects_) woken_.notify();
  }
}

task<> publisher::watch() {
  while (!closed_) {
    co_await woken_.wait_for(tick);
    if (!running() || connects_ == 0) continue;  // 0: attach() is still to come
    if (nc_.up() && nc_.connects() != connects_) {
      connects_ = nc_.connects();
      unanswered_ = 0;  // what was still to come went with it
      doubt("the connection was lost");
    } else if (!doubt_ && silent()) {
      doubt(fmt::format("no answer within {} ms", spec_.answer_limit.count()));
    }
    if (doubt_) co_await recover();
  }
}

task<bool> publisher::may_write() {
  if (!spec_.leave.fresh || spec_.leave.fresh()) co_return true;
  // The answer may have been there before we were stopped.
  co_return co_await spec_.leave.renew() && spec_.leave.fresh();
}

task<> publisher::recover() {
  while (running() && doubt_) {
    const auto until = std::chrono::steady_clock::now() + (spec_.fenced ? spec_.answer_limit : tick.zero());
    while (running() && nc_.up() && nc_.connects() == connects_ && unanswered_ > 0 &&
           std::chrono::steady_clock::now() < until)
      co_await woken_.wait_for(tick);
    const auto pause = backoff_.next();
    if (backoff_.failures() > 1) co_await woken_.wait_for(pause);
    if (!running()) co_return;
    if (!nc_.up()) {
      co_await nc_.changed().wait_for(tick);
      continue;
    }
    connects_ = nc_.connects();
    // Leave last: nothing may suspend between it and the sending.
    if (!co_await consult_stream() || !co_await may_write()) continue;
    // One goes ahead: while the stream refuses, nothing else is worth sending.
    doubt_ = false;
    window_.resent();
    ++attempt_;
    unanswered_ = 0;
    sent_ = base_;
    if (items_.empty()) {
      last_error_.clear();
      co_return;
    }
    probe_ = base_;
    send(sent_++);
  }
}

// X1, X3: what does the stream hold? True when a resend may begin.
task<bool> publisher::consult_stream() {
  auto now = co_await stream_info(nc_, spec_.stream);
  if (!now && now.error().code == errc::not_found) {
    stop(halt::stream_lost, "it no longer exists");
    co_return false;
  }
  if (!now) co_return false;
  const auto acknowledged = spec_.fenced ? fence_ + (base_ - fence_ordinal_) : stored_;
  if (now->created != created_ || now->last_seq < acknowledged) {
    stop(halt::stream_lost, "it was recreated or cut back below what it had acknowledged");
    co_return false;
  }
  if (!spec_.fenced) co_return true;
  if (foreign_ || now->last_seq > fence_ + (high_sent_ - fence_ordinal_)) {
    stop(halt::foreign, "another writer has written to it");
    co_return false;
  }
  while (base_ < fence_ordinal_ + (now->last_seq - fence_)) settle(base_, fence_ + (base_ - fence_ordinal_) + 1);
  co_return true;
}

}  // namespace recordkv::nats
