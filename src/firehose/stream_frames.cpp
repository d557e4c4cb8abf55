// The other half of stream_source: what becomes of each message.
#include "recover_did.hpp"
#include "stream_source.hpp"

#include "recordkv/core/log.hpp"

namespace recordkv::firehose {

std::vector<frame> stream_source::sort(std::vector<ws_message>& messages) {
  std::vector<frame> out;
  out.reserve(messages.size());
  for (auto& m : messages)
    if (!accept(m, out)) break;
  return out;
}

bool stream_source::accept(ws_message& m, std::vector<frame>& out) {
  if (m.what == ws_message::type::oversize)
    return unreadable(m, fail(errc::too_large, "over the limit of {} bytes", spec_.max_frame), out);
  if (m.what != dialect_.carrier) {
    const bool text = m.what == ws_message::type::text;
    return unreadable(m, fail(errc::malformed, "a {} message", text ? "text" : "binary"), out);
  }
  auto seen = dialect_.glance(m.bytes);
  if (seen) return deliver(m, std::move(*seen), out);
  if (seen.error().code != errc::refused) return unreadable(m, seen.error(), out);
  error_frame(seen.error().text, out);
  return false;
}

bool stream_source::deliver(ws_message& m, atproto::glance g, std::vector<frame>& out) {
  if (g.kind == atproto::event_kind::info) return about_stream(m, std::move(g), out);
  if (g.seq != 0 && believable(g.seq)) {
    if (other_numbering(g)) {
      resume_by_time(g, out);
      return false;
    }
    if (!advance(g, out)) return true;
  }
  if (g.kind == atproto::event_kind::unknown) counters_.add("source_skipped", "unknown");
  if (frames_here_++ == 0) first_at_ = clock::now();
  ++frames_;
  bytes_ += m.bytes.size();
  out.push_back({frame::notice::none, std::move(m.bytes), std::move(g)});
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

void stream_source::error_frame(const std::string& text, std::vector<frame>& out) {
  const std::string shown = text.substr(0, 200);
  if (text.starts_with("FutureCursor")) return numbering_went_back(shown, out);
  drop(text.starts_with("ConsumerTooSlow") ? "too_slow" : "error_frame", shown);
}

// The host does not know our number. All that it has may be new to us: "live" would pass over what came meanwhile.
void stream_source::numbering_went_back(std::string_view why, std::vector<frame>& out) {
  const bool had_cursor = from_.seq.has_value();
  from_.seq.reset();
  from_.start = start_at::oldest;
  from_.behind.reset();
  if (!dialect_.strict_order && from_.time > 0) from_.behind = time_with_overlap();
  by_time_ = gap_cause::renumbered;
  suspect_.reset();
  back_ = {};
  drop("future_cursor", why);
  if (had_cursor) out.push_back({.what = frame::notice::renumbered});
  // Once is a host restored from a backup; again, before a single frame came, is a host out of order.
  if (++resets_ > 1)
    log::error(dialect_.part, "ALARM {}: refuses our cursor again ({}th time): {}", spec_.url, resets_, why);
}

// The first failure behind a seq may be the connection's fault, so it is repeated; the second is the frame's.
bool stream_source::unreadable(const ws_message& m, const error& why, std::vector<frame>& out) {
  const std::uint64_t behind = from_.seq.value_or(0);
  if (suspect_ != behind) {
    suspect_ = behind;
    drop("framing", fmt::format("the frame behind seq {} cannot be read: {}", behind, why.text));
    return false;
  }
  frame notice;
  notice.what = frame::notice::unreadable;
  notice.info.kind = atproto::event_kind::unreadable;
  notice.info.did = recover_did(m.bytes);
  counters_.add("source_skipped", "unreadable");
  log::warn(dialect_.part, "{}: skipped a frame behind seq {} that failed twice ({}), account {}", spec_.url, behind,
            why.text, notice.info.did.empty() ? "unknown" : notice.info.did);
  out.push_back(std::move(notice));
  return true;
}

}  // namespace recordkv::firehose
