// Over 300 lines: one connection's life. Dialling, reading and giving up share the place where reading goes on.
#include "stream_source.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/core/timestamp.hpp"

namespace recordkv::firehose {
namespace {

using namespace std::chrono_literals;

// The delay starts small again only after a good connection: it brought enough frames, or lasted for
// source_spec::proof. A quiet source is not a bad source.
constexpr std::uint64_t proof_frames = 1000;
constexpr auto max_delay = 60'000ms;

// The closed set of words that source_reconnects counts by.
std::string_view word_for(errc code) {
  switch (code) {
    case errc::closed: return "closed";
    case errc::timed_out: return "timeout";
    case errc::refused: return "refused";
    case errc::bad_config:
    case errc::cursor_stale: return "bad_config";
    case errc::malformed: return "framing";
    default: return "unreachable";
  }
}

// A host may send an error frame and then more events. The connection is dropped for an error at most once in this
// time; otherwise each error would cost a connection. A host that means the error closes the connection by itself.
constexpr auto between_leavings = 1min;

// An empty message, or a text message of blanks: some servers keep a connection alive with these.
bool is_keep_alive(const ws_message& m) {
  if (m.what == ws_message::type::text) return m.bytes.find_first_not_of(" \t\r\n") == std::string::npos;
  return m.bytes.empty();
}

}  // namespace

stream_source::stream_source(asio::any_io_executor ex, source_spec spec, dialect d, meters& counters)
    : ex_(std::move(ex)),
      spec_(std::move(spec)),
      dialect_(std::move(d)),
      counters_(counters),
      frames_(counters.counter("source_frames")),
      bytes_(counters.counter("source_bytes")),
      last_error_(fmt::format("connecting to {}: not tried yet", spec_.url)),
      backoff_(spec_.retry_base, max_delay),
      numbers_(dialect_.strict_order, spec_),
      skipped_(dialect_.part, spec_.url, counters) {}

task<result<std::vector<frame>>> stream_source::next() {
  while (!closed_) {
    if (!ready_.empty()) co_return std::exchange(ready_, {});
    if (!ws_) {
      if (auto up = co_await reconnect(); !up) co_return up.error();
      continue;
    }
    messages_.clear();
    const auto got = co_await ws_->read(messages_);
    if (closed_) break;
    if (!got) {
      if (std::exchange(silent_, false))
        drop("silent", "connected, but nothing arrives");
      else
        lost(got.error());
      continue;
    }
    auto frames = sort(messages_);
    skipped_.tell_rest();
    if (!frames.empty()) co_return frames;
  }
  co_return fail(errc::closed, "closed");
}

void stream_source::close() noexcept {
  closed_ = true;
  stop_.notify();
  if (ws_) ws_->close();
}

void stream_source::redial() noexcept {
  if (!ws_ || !last_error_.empty()) return;
  silent_ = true;
  ws_->close();
}

// --- connecting ---

task<> stream_source::wait_until_due() {
  while (!closed_) {
    const auto left = due_ - clock::now();
    if (left <= clock::duration::zero()) break;
    co_await stop_.wait_for(left);
  }
}

task<result<>> stream_source::reconnect() {
  const auto opened = dialect_.open(numbers_.place());
  if (!opened) {
    last_error_ = fmt::format("connecting to {}: {}", spec_.url, opened.error().text);
    co_return opened.error();
  }
  co_await wait_until_due();
  if (closed_) co_return fail(errc::closed, "closed");
  websocket_spec how{.url = opened->url, .max_message = spec_.max_frame, .idle = spec_.idle, .tls_ca = spec_.tls_ca};
  ws_ = std::make_unique<websocket>(ex_, std::move(how));
  const auto up = co_await ws_->connect();
  if (closed_) co_return fail(errc::closed, "closed");
  if (!up) co_return dial_failed(up.error());
  connected(*opened);
  co_return result<>{};
}

result<> stream_source::dial_failed(const error& e) {
  // Jetstream v2 refuses the upgrade where other hosts send #info OutdatedCursor. Begin at its oldest event.
  if (e.code == errc::cursor_stale && numbers_.place().seq) {
    drop("outdated_cursor", e.text);
    ready_.push_back({.what = frame::notice::outdated_cursor,
                      .info = {.kind = atproto::event_kind::info, .name = "OutdatedCursor"},
                      .gap = outdated_gap()});
    numbers_.begin_at_oldest();
    by_time_ = gap_cause::outdated_cursor;
    return {};
  }
  const auto stay_away = ws_->retry_after().value_or(0s);
  // After an earlier success a 404 comes from a proxy whose server is being replaced, and passes.
  const bool hopeless = e.code == errc::bad_config || e.code == errc::cursor_stale;
  if (!hopeless || was_connected_ || numbers_.place().seq) {
    drop(word_for(e.code), e.text, stay_away);
    return {};
  }
  // The caller decides whether to ask again. If it does, it waits as after any other failure.
  ws_.reset();
  due_ = clock::now() + backoff_.next();
  counters_.add("source_reconnects", word_for(e.code));
  last_error_ = fmt::format("connecting to {}: {}", spec_.url, e.text);
  return fail(errc::bad_config, "{}: {}", spec_.url, e.text);
}

void stream_source::connected(const opening& o) {
  if (!o.hello.empty()) ws_->send_text(o.hello);
  last_error_.clear();
  numbers_.connected(was_connected_);
  was_connected_ = true;
  connected_at_ = clock::now();
  frames_here_ = 0;
  silent_ = false;
  begin_seam();
  log::info(dialect_.part, "connected to {}, {}", spec_.url, beginning());
}

void stream_source::begin_seam() {
  const auto& from = numbers_.place();
  if (by_time_ && !from.seq) {
    seam_.begin_by_time({0, from.time}, *by_time_);
    if (*by_time_ == gap_cause::outdated_cursor) seam_.outdated();
  } else {
    seam_.begin(from.seq ? std::optional(source_position(*from.seq, from.time)) : std::nullopt);
  }
  if (from.seq) by_time_.reset();
}

source_gap stream_source::outdated_gap() const {
  return {.cause = gap_cause::outdated_cursor, .from = {numbers_.seq(), numbers_.place().time}};
}

std::string stream_source::beginning() const {
  const auto& from = numbers_.place();
  if (from.seq) return fmt::format("from {}", *from.seq);
  if (from.behind) return fmt::format("from {}", *from.behind);
  return from.start == start_at::oldest ? "from the oldest event" : "live";
}

void stream_source::drop(std::string_view word, std::string_view reason, std::chrono::milliseconds at_least) {
  const auto now = clock::now();
  const bool stood = connected_at_ && now - *connected_at_ >= spec_.proof;
  if (frames_here_ >= proof_frames || stood) backoff_.reset();
  connected_at_.reset();
  frames_here_ = 0;
  const auto delay = std::max(backoff_.next(), at_least);
  due_ = now + delay;
  ws_.reset();
  counters_.add("source_reconnects", word);
  last_error_ = fmt::format("connecting to {}: {}", spec_.url, reason);
  log::warn(dialect_.part, "{}: {}; trying again in {} ms, {}", spec_.url, reason, delay.count(), beginning());
}

// The connection failed, or its next message is too large. The latter is no fault of the connection.
void stream_source::lost(const error& e) {
  if (e.code == errc::too_large) return ws_->skip_message();
  drop(word_for(e.code), e.text);
}

// --- what becomes of each message ---

std::vector<frame> stream_source::sort(std::vector<ws_message>& messages) {
  std::vector<frame> out;
  out.reserve(messages.size());
  for (auto& m : messages)
    if (!accept(m, out)) break;
  return out;
}

bool stream_source::accept(ws_message& m, std::vector<frame>& out) {
  if (is_keep_alive(m)) {
    counters_.add("source_skipped", "keep_alive");
    return true;
  }
  if (m.what == ws_message::type::oversize) return skip(m, "oversize", out);
  if (m.what != dialect_.carrier)
    return skip(m, m.what == ws_message::type::text ? "text_message" : "binary_message", out);
  auto seen = dialect_.summarise(m.bytes);
  if (seen) return deliver(m, std::move(*seen), out);
  if (atproto::is_error_frame(seen.error().code)) return error_frame(seen.error(), out);
  return skip(m, seen.error().text, out);
}

// The message is complete and cannot be read. Asking for it again would bring the same bytes.
bool stream_source::skip(const ws_message& m, std::string_view word, std::vector<frame>& out) {
  out.push_back(skipped_.notice(m.bytes, word, numbers_.seq()));
  return true;
}

bool stream_source::deliver(ws_message& m, atproto::frame_summary g, std::vector<frame>& out) {
  if (g.kind == atproto::event_kind::info) return about_stream(m, std::move(g), out);
  // An account's event that cannot be put in order.
  if (g.kind == atproto::event_kind::unknown && !g.did.empty()) return skip(m, g.name, out);
  auto turn = placement::turn::in_order;
  if (const double now = seconds_now(); g.seq != 0 && numbers_.believable(g.seq, now)) {
    if (numbers_.other_instance(g, now)) {
      resume_by_time(g, out);
      return false;
    }
    turn = place(g, m.bytes, out);
    if (turn == placement::turn::repeated || turn == placement::turn::regressed) return true;
  }
  if (g.kind == atproto::event_kind::unknown) counters_.add("source_skipped", g.unknown_word());
  ++frames_here_;
  ++frames_;
  bytes_ += m.bytes.size();
  const auto what = turn == placement::turn::late ? frame::notice::late : frame::notice::none;
  out.push_back({what, std::move(m.bytes), std::move(g)});
  return true;
}

// Takes the place over from a numbered event of this instance, and reports an unusual number.
placement::turn stream_source::place(const atproto::frame_summary& g, std::string_view bytes, std::vector<frame>& out) {
  const auto placed = numbers_.take(g, bytes, seconds_now());
  tell(placed, g.seq);
  if (placed.renumbered) out.push_back({.what = frame::notice::renumbered, .info = {.seq = *placed.renumbered}});
  compare(g, out);
  return placed.what;
}

void stream_source::tell(const placement& p, std::uint64_t seq) {
  if (p.counts_as_late) counters_.add("source_late");
  if (p.renumbered) counters_.add("source_renumbered");
  if (p.what == placement::turn::repeated) counters_.add("source_skipped", "repeat");
  if (p.what == placement::turn::regressed) counters_.add("source_skipped", "regress");
  if (!p.behind) return;
  if (const auto n = late_told_.count(spec_.url, clock::now()))
    log::warn(dialect_.part, "{}: {} event{} came behind newer events, the last with seq {} behind {}", spec_.url, n,
              n == 1 ? "" : "s", seq, *p.behind);
  if (p.renumbered)
    log::warn(dialect_.part, "{}: numbering began anew: {} newer events in a row from {} on, behind {}", spec_.url,
              p.witnesses, *p.renumbered, *p.behind);
}

void stream_source::resume_by_time(const atproto::frame_summary& g, std::vector<frame>& out) {
  const auto why =
      fmt::format("event {} does not follow {}: another instance answers, with its own numbers; resuming by time",
                  g.seq, numbers_.seq());
  numbers_.resume_by_time();
  by_time_ = gap_cause::other_instance;
  drop("other_instance", why);
  out.push_back({.what = frame::notice::renumbered});
}

void stream_source::compare(const atproto::frame_summary& g, std::vector<frame>& out) {
  if (auto found = seam_.take({g.seq, numbering::believable_time(g.time, seconds_now())})) {
    if (found->none)
      log::info(dialect_.part, "{}: no events are missing after all", spec_.url);
    else
      log::warn(dialect_.part, "{}: events may be missing from {} to {} ({})", spec_.url,
                timestamp_of(found->from.time), timestamp_of(found->to.time), name(found->cause));
    out.push_back({.what = frame::notice::gap, .gap = *found});
  }
}

bool stream_source::about_stream(ws_message& m, atproto::frame_summary g, std::vector<frame>& out) {
  if (g.name == "OutdatedCursor") {
    log::warn(dialect_.part, "{}: the host no longer has everything since seq {}", spec_.url, numbers_.seq());
    seam_.outdated();
    out.push_back({frame::notice::outdated_cursor, std::move(m.bytes), std::move(g), outdated_gap()});
  } else {
    counters_.add("source_skipped", "info");
    log::info(dialect_.part, "{}: the host says {}", spec_.url, g.name.substr(0, 100));
  }
  return true;
}

// False: the connection was dropped. By the protocol the host closes after an error frame. A host that sends errors
// between good frames must not cause a reconnect for each.
bool stream_source::error_frame(const error& said, std::vector<frame>& out) {
  const std::string shown = said.text.substr(0, 200);
  const bool of_cursor = said.code == errc::cursor_ahead;
  if (of_cursor && numbers_.fresh() && numbers_.place().seq) {  // the answer to our cursor
    numbering_went_back(shown, out);
    return false;
  }
  const bool too_slow = said.code == errc::too_slow;
  auto& left_at = too_slow ? left_as_slow_at_ : left_at_;
  const auto now = clock::now();
  if (left_at && now - *left_at < between_leavings) {
    counters_.add("source_skipped", "error_frame");
    if (const auto n = error_told_.count(spec_.url, now))
      log::warn(dialect_.part, "{}: the host has sent {} errors and more events, the last error: {}", spec_.url, n,
                shown);
    return true;
  }
  left_at = now;
  if (of_cursor)
    numbering_went_back(shown, out);
  else
    drop(too_slow ? "too_slow" : "error_frame", shown);
  return false;
}

// The host does not know our number.
void stream_source::numbering_went_back(std::string_view why, std::vector<frame>& out) {
  const bool had_cursor = numbers_.place().seq.has_value();
  const int times = numbers_.restart();
  by_time_ = gap_cause::renumbered;
  drop("future_cursor", why);
  if (had_cursor) out.push_back({.what = frame::notice::renumbered});
  // The first time, the host was restored from a backup. A second time before any event, it is broken.
  if (times > 1) log::error(dialect_.part, "ALARM {}: refuses our cursor again ({}th time): {}", spec_.url, times, why);
}

}  // namespace recordkv::firehose
