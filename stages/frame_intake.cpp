#include "frame_intake.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::stages {

using firehose::frame;
using std::chrono::steady_clock;

task<result<void>> frame_intake::take(firehose::frame f) {
  if (f.what != frame::notice::none) co_return co_await take_notice(f);
  const auto seq = f.info.seq;
  if (seq > 0) passed_seq_ = seq;
  if (seq == 0 && f.info.kind != atproto::event_kind::unknown) co_return result<void>{};
  if (!cursor_.value() && seq > 0)  // "live" means one place from now on
    if (auto begun = co_await begin_cursor(seq - 1); !begun) co_return begun;
  if (!followed_.wants(f.info)) {
    ctx_.counters.add("left_out", f.info.kind == atproto::event_kind::unknown ? "unknown" : "not_followed");
    if (seq > 0) mark_.dropped(seq, steady_clock::now());
    co_return result<void>{};
  }
  co_return co_await buffer(std::move(f.bytes), f.info.did, seq);
}

task<result<void>> frame_intake::buffer(std::string bytes, const std::string& did, std::uint64_t seq) {
  const auto subject = ctx_.names().buffer_subject(kv::partition_of(did, ctx_.cfg.kv.partitions));
  nats::header_list headers;
  headers.reserve(4);
  headers.push_back({"source", cursor_.source()});
  headers.push_back({"seq", std::to_string(seq)});
  headers.push_back({"epoch", std::to_string(cursor_.epoch())});
  auto marker_headers = headers;
  auto put = co_await outbox_.put(subject, std::move(headers), std::move(bytes));
  if (!put && put.error().code == errc::too_large) {
    ctx_.counters.add("markers", "oversize");
    put = co_await outbox_.put(subject, std::move(marker_headers),
                               fmt::format(R"({{"marker":"oversize","did":"{}"}})", did));
  }
  if (!put) co_return put.error();
  mark_.accepted(outbox_.sequence_of(*put), seq, steady_clock::now());
  ++buffered_;
  co_return result<void>{};
}

task<result<void>> frame_intake::take_notice(const frame& f) {
  switch (f.what) {
    case frame::notice::outdated_cursor:
      ctx_.counters.add("notices", "outdated_cursor");
      log::warn("ingest", "{} no longer has everything since our cursor: accounts may be stale", ctx_.cfg.source.url);
      break;
    case frame::notice::future_cursor:
      ctx_.counters.add("notices", "future_cursor");
      log::warn("ingest", "{} counts from lower numbers than our cursor: a new epoch begins", ctx_.cfg.source.url);
      mark_.renumbered();
      passed_seq_ = 0;
      cursor_.begin_epoch();
      break;
    case frame::notice::unreadable:
      ctx_.counters.add("markers", f.info.did.empty() ? "unreadable_unknown" : "unreadable");
      if (f.info.did.empty() || !cursor_.value()) break;  // before the first cursor nothing was promised
      co_return co_await buffer(fmt::format(R"({{"marker":"unreadable","did":"{}"}})", f.info.did), f.info.did,
                                std::max(passed_seq_, *cursor_.value()));  // no number: it counts with the one before
    case frame::notice::none: break;
  }
  co_return result<void>{};
}

task<result<void>> frame_intake::begin_cursor(std::uint64_t value) {
  for (;;) {
    auto written = co_await cursor_.write(value, ctx_.nc.server_id());
    if (written || (written.error().code != errc::timed_out && written.error().code != errc::unreachable) || closing_)
      co_return written;
    co_await pause_.wait_for(std::chrono::milliseconds(200));
  }
}

}  // namespace recordkv::stages
