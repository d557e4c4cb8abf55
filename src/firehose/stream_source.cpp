#include "stream_source.hpp"

#include "recordkv/core/log.hpp"

namespace recordkv::firehose {
namespace {

using namespace std::chrono_literals;

// The delay starts small again only once a connection has proved itself: by frames, or by having stood for a while
// (source_spec::proof), also without frames. A quiet source is not a bad one.
constexpr std::uint64_t proof_frames = 1000;
constexpr auto longest_delay = 60'000ms;

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

}  // namespace

stream_source::stream_source(asio::any_io_executor ex, source_spec spec, dialect d, meters& counters)
    : ex_(std::move(ex)),
      spec_(std::move(spec)),
      dialect_(std::move(d)),
      counters_(counters),
      frames_(counters.counter("source_frames")),
      bytes_(counters.counter("source_bytes")),
      trouble_(fmt::format("connecting to {}: not tried yet", spec_.url)),
      backoff_(spec_.retry_base, longest_delay),
      from_{.start = spec_.start, .behind = spec_.begin_behind},
      recent_(spec_.cursor ? std::optional(spec_.cursor->seq) : std::nullopt),
      skipped_(dialect_.part, spec_.url, counters) {
  if (!spec_.cursor) return;
  from_.seq = spec_.cursor->seq;
  from_.time = spec_.cursor->time;
  from_.behind.reset();
  if (from_.time == 0 && !dialect_.strict_order && *from_.seq >= first_time_us)
    from_.time = static_cast<double>(*from_.seq) / 1e6;
}

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
        drop("silent", "connected, and nothing comes");
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
  if (!ws_ || !trouble_.empty()) return;
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
  const auto opened = dialect_.open(from_);
  if (!opened) {
    trouble_ = fmt::format("connecting to {}: {}", spec_.url, opened.error().text);
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
  // Jetstream v2 tells before the upgrade what others tell by #info: begin at the oldest it has.
  if (e.code == errc::cursor_stale && from_.seq) {
    drop("outdated_cursor", e.text);
    ready_.push_back({.what = frame::notice::outdated_cursor,
                      .info = {.kind = atproto::event_kind::info, .name = "OutdatedCursor"},
                      .gap = outdated_gap()});
    from_.seq.reset();
    from_.start = start_at::oldest;
    from_.behind.reset();
    by_time_ = gap_cause::outdated_cursor;
    return {};
  }
  const auto stay_away = ws_->retry_after().value_or(0s);
  // Where we were let in before, a 404 is of a proxy whose server is just being changed, and passes.
  const bool hopeless = e.code == errc::bad_config || e.code == errc::cursor_stale;
  if (!hopeless || was_connected_ || from_.seq) {
    drop(word_for(e.code), e.text, stay_away);
    return {};
  }
  // Whoever asks again all the same waits like after any other failure; whether there is a next time is not ours to
  // say.
  ws_.reset();
  due_ = clock::now() + backoff_.next();
  counters_.add("source_reconnects", word_for(e.code));
  trouble_ = fmt::format("connecting to {}: {}", spec_.url, e.text);
  return fail(errc::bad_config, "{}: {}", spec_.url, e.text);
}

void stream_source::connected(const opening& o) {
  if (!o.hello.empty()) ws_->send_text(o.hello);
  trouble_.clear();
  if (was_connected_) recent_.reconnected();
  was_connected_ = true;
  connected_at_ = clock::now();
  frames_here_ = 0;
  fresh_ = true;
  silent_ = false;
  begin_seam();
  log::info(dialect_.part, "connected to {}, {}", spec_.url, place());
}

void stream_source::begin_seam() {
  if (by_time_ && !from_.seq) {
    seam_.begin_by_time({0, from_.time}, *by_time_);
    if (*by_time_ == gap_cause::outdated_cursor) seam_.outdated();
  } else {
    seam_.begin(from_.seq ? std::optional(source_position(*from_.seq, from_.time)) : std::nullopt);
  }
  if (from_.seq) by_time_.reset();
}

source_gap stream_source::outdated_gap() const {
  return {.cause = gap_cause::outdated_cursor, .from = {from_.seq.value_or(0), from_.time}};
}

std::string stream_source::place() const {
  if (from_.seq) return fmt::format("from {}", *from_.seq);
  if (from_.behind) return fmt::format("from {}", *from_.behind);
  return from_.start == start_at::oldest ? "from the oldest event" : "live";
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
  trouble_ = fmt::format("connecting to {}: {}", spec_.url, reason);
  log::warn(dialect_.part, "{}: {}; trying again in {} ms, {}", spec_.url, reason, delay.count(), place());
}

// The connection failed; or its next message is too large to be held, which is no fault of the connection.
void stream_source::lost(const error& e) {
  if (e.code == errc::too_large) return ws_->pass_over();
  drop(word_for(e.code), e.text);
}

}  // namespace recordkv::firehose
