// The other half of stream_source: what becomes of each message.
#include "stream_source.hpp"

#include "recordkv/core/log.hpp"

namespace recordkv::firehose {
namespace {

// A host that says an error and goes on all the same is left for it once in so long; else each error would cost a
// connection. One that means it closes by itself.
constexpr auto between_leavings = std::chrono::minutes(1);

// Nothing but blanks in a text message, or nothing at all: some servers keep a connection alive with these.
bool is_keep_alive(const ws_message& m) {
  if (m.what == ws_message::type::text) return m.bytes.find_first_not_of(" \t\r\n") == std::string::npos;
  return m.bytes.empty();
}

// A type that is new to us, or a known one without an account: the latter is a fault of its sender.
std::string_view word_of_unknown(const atproto::glance& g) {
  return g.name.empty() ? std::string_view("unknown") : std::string_view(g.name);
}

}  // namespace

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
  auto seen = dialect_.glance(m.bytes);
  if (seen) return deliver(m, std::move(*seen), out);
  if (atproto::is_error_frame(seen.error().code)) return error_frame(seen.error(), out);
  return skip(m, seen.error().text, out);
}

// Whole, and not to be read: asking for it again would bring the same.
bool stream_source::skip(const ws_message& m, std::string_view word, std::vector<frame>& out) {
  out.push_back(skipped_.notice(m.bytes, word, from_.seq.value_or(0)));
  return true;
}

bool stream_source::deliver(ws_message& m, atproto::glance g, std::vector<frame>& out) {
  if (g.kind == atproto::event_kind::info) return about_stream(m, std::move(g), out);
  // An account's event that can't be put into order.
  if (g.kind == atproto::event_kind::unknown && !g.did.empty()) return skip(m, g.name, out);
  auto turn = order::in_turn;
  if (g.seq != 0 && believable(g.seq)) {
    if (other_numbering(g)) {
      resume_by_time(g, out);
      return false;
    }
    turn = advance(g, m.bytes, out);
    if (turn == order::repeated) return true;
  }
  if (g.kind == atproto::event_kind::unknown) counters_.add("source_skipped", word_of_unknown(g));
  ++frames_here_;
  ++frames_;
  bytes_ += m.bytes.size();
  const auto what = turn == order::late ? frame::notice::late : frame::notice::none;
  out.push_back({what, std::move(m.bytes), std::move(g)});
  return true;
}

bool stream_source::about_stream(ws_message& m, atproto::glance g, std::vector<frame>& out) {
  if (g.name == "OutdatedCursor") {
    log::warn(dialect_.part, "{}: the host no longer has everything since seq {}", spec_.url, from_.seq.value_or(0));
    seam_.outdated();
    out.push_back({frame::notice::outdated_cursor, std::move(m.bytes), std::move(g), outdated_gap()});
  } else {
    counters_.add("source_skipped", "info");
    log::info(dialect_.part, "{}: the host says {}", spec_.url, g.name.substr(0, 100));
  }
  return true;
}

// False: the connection was dropped. By the protocol the host closes behind an error frame; one that does not, and says
// error after error between good frames, must not make us reconnect for each.
bool stream_source::error_frame(const error& said, std::vector<frame>& out) {
  const std::string shown = said.text.substr(0, 200);
  const bool of_cursor = said.code == errc::cursor_ahead;
  if (of_cursor && fresh_ && from_.seq) {  // the answer to our question
    numbering_went_back(shown, out);
    return false;
  }
  const bool too_slow = said.code == errc::too_slow;
  auto& left_at = too_slow ? left_as_slow_at_ : left_at_;
  const auto now = clock::now();
  if (left_at && now - *left_at < between_leavings) {
    counters_.add("source_skipped", "error_frame");
    if (const auto n = error_told_.count(spec_.url, now))
      log::warn(dialect_.part, "{}: the host has said {} errors and goes on, the last: {}", spec_.url, n, shown);
    return true;
  }
  left_at = now;
  if (of_cursor)
    numbering_went_back(shown, out);
  else
    drop(too_slow ? "too_slow" : "error_frame", shown);
  return false;
}

// The host does not know our number. All that it has may be new to us: "live" would pass over what came meanwhile.
void stream_source::numbering_went_back(std::string_view why, std::vector<frame>& out) {
  const bool had_cursor = from_.seq.has_value();
  from_.seq.reset();
  from_.start = start_at::oldest;
  from_.behind.reset();
  if (!dialect_.strict_order && from_.time > 0) from_.behind = time_with_overlap();
  by_time_ = gap_cause::renumbered;
  recent_.clear();
  back_ = {};
  drop("future_cursor", why);
  if (had_cursor) out.push_back({.what = frame::notice::renumbered});
  // Once is a host restored from a backup; again, before a single frame came, is a host out of order.
  if (++resets_ > 1)
    log::error(dialect_.part, "ALARM {}: refuses our cursor again ({}th time): {}", spec_.url, resets_, why);
}

}  // namespace recordkv::firehose
