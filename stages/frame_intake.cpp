#include "frame_intake.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/kv/record_key.hpp"

namespace recordkv::stages {

using firehose::frame;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t max_before_cursor = 1000;

// A type that is new to us is no fault; a known one without a usable account is.
std::string_view word_of_unknown(const atproto::glance& g) {
  return g.name.empty() ? std::string_view("unknown") : std::string_view(g.name);
}

}  // namespace

task<result<void>> frame_intake::take(firehose::frame f) {
  if (f.what != frame::notice::none) co_return co_await take_notice(std::move(f));
  const auto seq = f.info.seq;
  if (seq > 0) passed_seq_ = seq;
  if (seq == 0 && f.info.kind != atproto::event_kind::unknown) co_return result<void>{};
  if (!cursor_.value() && seq > 0) {  // "live" means one place from now on
    if (auto begun = co_await begin_cursor(seq - 1); !begun) co_return begun;
    for (auto& early : std::exchange(before_cursor_, {}))
      if (auto marked = co_await mark_unreadable(early); !marked) co_return marked;
  }
  if (!followed_.wants(f.info)) {
    const bool unknown = f.info.kind == atproto::event_kind::unknown;
    ctx_.counters.add("left_out", unknown ? word_of_unknown(f.info) : "not_followed");
    if (seq > 0) mark_.dropped(seq, steady_clock::now());
    co_return result<void>{};
  }
  co_return co_await buffer({.bytes = std::move(f.bytes), .did = std::move(f.info.did), .seq = seq});
}

task<result<void>> frame_intake::buffer(parcel p) {
  const auto subject = "ingest." + kv::partition_of(p.did, ctx_.cfg.kv.partitions);
  nats::header_list headers;
  headers.reserve(4);
  headers.push_back({"source", cursor_.source()});
  headers.push_back({"seq", std::to_string(p.seq)});
  headers.push_back({"epoch", std::to_string(cursor_.epoch())});
  if (p.late) headers.push_back({"late", "1"});
  auto marker_headers = headers;
  auto put = co_await outbox_.put(subject, std::move(headers), std::move(p.bytes));
  if (!put && put.error().code == errc::too_large) {
    ctx_.counters.add("markers", "oversize");
    put = co_await outbox_.put(subject, std::move(marker_headers),
                               fmt::format(R"({{"marker":"oversize","did":"{}"}})", p.did));
  }
  if (!put) co_return put.error();
  mark_.accepted(outbox_.sequence_of(*put), p.seq, steady_clock::now());
  ++buffered_;
  co_return result<void>{};
}

// The account of what could not be read.
task<result<void>> frame_intake::mark_unreadable(const frame& f) {
  ctx_.counters.add("markers", f.info.did.empty() ? "unreadable_unknown" : "unreadable");
  if (f.info.did.empty()) co_return result<void>{};
  co_return co_await buffer(
      {.bytes = fmt::format(R"({{"marker":"unreadable","did":"{}","reason":"{}"}})", f.info.did, f.info.name),
       .did = f.info.did,
       .seq = place()});
}

// It came behind newer ones; stage kv knows by its account's rev whether it is lost, and the cursor does not go back.
task<result<void>> frame_intake::take_late(frame f) {
  if (!cursor_.value() || !followed_.wants(f.info)) {
    ctx_.counters.add("left_out", "not_followed");
    co_return result<void>{};
  }
  co_return co_await buffer({.bytes = std::move(f.bytes), .did = std::move(f.info.did), .seq = place(), .late = true});
}

task<result<void>> frame_intake::take_notice(frame f) {
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
      if (cursor_.value() || f.info.did.empty()) co_return co_await mark_unreadable(f);
      if (before_cursor_.size() < max_before_cursor) before_cursor_.push_back(std::move(f));
      break;
    case frame::notice::late: co_return co_await take_late(std::move(f));
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
