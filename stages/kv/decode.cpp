#include "decode.hpp"

#include "recordkv/kv/frame_batch.hpp"

#include <utility>

namespace recordkv::stages {
namespace {

// Frames that are one job of the pool.
constexpr std::size_t frames_in_chunk = 32, bytes_in_chunk = std::size_t{256} << 10;

// One frame of a message, and what was read of it.
struct framed_part {
  std::size_t message;  // index into the batch of messages
  std::string_view bytes;
  std::uint64_t source_seq = 0;
  std::unique_ptr<atproto::repo_event> what;
  bool refused = false;
};

void add_parts(std::size_t index, std::string_view payload, std::vector<framed_part>& to) {
  const auto frames = kv::frames_in(payload);
  if (!frames) {
    auto unread = std::make_unique<atproto::repo_event>(atproto::undecoded({}, fail(errc::malformed, "batch")));
    to.push_back({.message = index, .bytes = payload, .what = std::move(unread), .refused = true});
    return;
  }
  for (const auto& f : *frames) to.push_back({.message = index, .bytes = f.bytes, .source_seq = f.seq, .what = {}});
}

std::vector<framed_part> parts_of(const std::vector<nats::message>& batch) {
  std::vector<framed_part> parts;
  parts.reserve(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) add_parts(i, batch[i].data(), parts);
  return parts;
}

void decode_one(framed_part& p, const decode_function& decode) {
  if (p.refused) return;
  auto event = decode(p.bytes);
  p.refused = !event;
  p.what =
      std::make_unique<atproto::repo_event>(event ? std::move(*event) : atproto::undecoded(p.bytes, event.error()));
}

// Where the chunk that begins at `begin` ends. A chunk holds at least one frame.
std::size_t end_of_chunk(const std::vector<framed_part>& parts, std::size_t begin) {
  std::size_t end = begin, bytes = 0;
  do bytes += parts[end++].bytes.size();
  while (end < parts.size() && end - begin < frames_in_chunk && bytes < bytes_in_chunk);
  return end;
}

// The parts' bytes belong to the messages, whose bytes stay where they are when a message moves into its handle.
std::vector<kv_event> events_of(std::vector<framed_part> parts, std::vector<nats::message> batch) {
  std::vector<kv_event> events;
  events.reserve(parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto& p = parts[i];
    const bool first = i == 0 || parts[i - 1].message != p.message;
    auto from = first ? event_handle(std::move(batch[p.message])) : events.back().from.another();
    events.push_back({.what = std::move(p.what),
                      .from = std::move(from),
                      .bytes = p.bytes.size(),
                      .undecoded = p.refused,
                      .framed = !p.bytes.empty() && p.bytes.front() != '{',
                      .source_seq = p.source_seq});
  }
  return events;
}

task<std::vector<kv_event>> decode_in_chunks(worker_pool& pool, const decode_function& decode,
                                             std::vector<nats::message> batch) {
  auto parts = parts_of(batch);
  std::vector<worker_pool::job> jobs;
  for (std::size_t begin = 0; begin < parts.size();) {
    const auto end = end_of_chunk(parts, begin);
    jobs.emplace_back([&parts, &decode, begin, end] {
      for (auto i = begin; i < end; ++i) decode_one(parts[i], decode);
    });
    begin = end;
  }
  co_await pool.run(std::move(jobs));
  co_return events_of(std::move(parts), std::move(batch));
}

}  // namespace

task<std::vector<kv_event>> decode_unverified(std::vector<nats::message> batch) {
  static const decode_function decode = atproto::decode_event;
  auto parts = parts_of(batch);
  for (auto& p : parts) decode_one(p, decode);
  co_return events_of(std::move(parts), std::move(batch));
}

event_decoder decode_on(worker_pool& pool, decode_function decode) {
  return [&pool, decode = std::move(decode)](std::vector<nats::message> batch) {
    return decode_in_chunks(pool, decode, std::move(batch));
  };
}

}  // namespace recordkv::stages
