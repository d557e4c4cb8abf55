#include "buffer_watermark.hpp"

namespace recordkv::stages {
namespace {

// A day of samples. A cursor that has not moved for a day is old enough without an exact age.
constexpr std::size_t max_samples = 24 * 3600;

double seconds(buffer_watermark::time from, buffer_watermark::time to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

void buffer_watermark::begin(const nats::stream_state& now) {
  floor_.clear();
  samples_.clear();
  created_ = now.created;
  earlier_run_ends_ = now.messages > 0 ? now.last_seq : 0;
  earlier_run_settled_ = false;
  first_seq_ = now.first_seq;
}

void buffer_watermark::accepted(std::uint64_t buffer, source_position source, time now) {
  floor_.accepted(buffer, source);
  if (!samples_.empty() && now - samples_.back().at < std::chrono::seconds(1)) return;
  if (samples_.size() < max_samples) samples_.push_back({now, buffer, source.seq});
}

bool buffer_watermark::look(const nats::stream_state& stream, time now) {
  if (stream.created != created_) return false;
  standing_ = stream.messages;
  first_seq_ = stream.first_seq;
  floor_.settled_below(stream.first_seq, now);
  earlier_run_settled_ = stream.first_seq > earlier_run_ends_;
  return true;
}

std::optional<source_position> buffer_watermark::durable(time now, std::chrono::milliseconds hold) {
  const auto settled = floor_.durable(now, hold);
  while (settled && !samples_.empty() && samples_.front().source <= settled->seq) samples_.pop_front();
  return settled;
}

double buffer_watermark::oldest_seconds(time now) const noexcept {
  if (standing_ == 0) return 0;
  for (const auto& s : samples_)
    if (s.buffer >= first_seq_) return seconds(s.at, now);
  return 0;
}

double buffer_watermark::age_seconds(std::optional<std::uint64_t> cursor, time now) const noexcept {
  for (const auto& s : samples_)
    if (cursor && s.source > *cursor) return seconds(s.at, now);
  return 0;
}

}  // namespace recordkv::stages
