#include "history.hpp"

#include <cstring>

namespace recordkv::sim {
namespace {

constexpr std::size_t block_room = 1 << 20;

}  // namespace

block& history::with_room(std::size_t bytes) {
  if (!blocks_.empty() && blocks_.back()->room - blocks_.back()->used() >= bytes) return *blocks_.back();
  auto fresh = std::make_shared<block>();
  fresh->first = end_;
  fresh->room = std::max(block_room, bytes);
  fresh->bytes = std::make_unique_for_overwrite<char[]>(fresh->room);
  blocks_.push_back(std::move(fresh));
  while (window_ > 0 && blocks_.size() > 1 && end_ - blocks_[1]->first >= window_) blocks_.pop_front();
  return *blocks_.back();
}

void history::append(std::string_view text, std::uint64_t time_us, std::uint16_t tag) {
  block& b = with_room(text.size() + max_frame_head);
  char* const at = b.bytes.get() + b.used();
  const std::size_t head = write_frame_head(at, kind_, text.size());
  std::memcpy(at + head, text.data(), text.size());
  b.ends.push_back(static_cast<std::uint32_t>(b.used() + head + text.size()));
  b.tags.push_back(tag);
  b.times.push_back(time_us);
  ++end_;
}

std::shared_ptr<const block> history::at(std::uint64_t index) const {
  const auto after = std::ranges::upper_bound(blocks_, index, {}, [](const auto& b) { return b->first; });
  return *std::prev(after);
}

std::uint64_t history::find(std::uint64_t time_us) const {
  const auto b = std::ranges::lower_bound(blocks_, time_us, {}, [](const auto& x) { return x->times.back(); });
  if (b == blocks_.end()) return end_;
  const auto& times = (*b)->times;
  return (*b)->first + static_cast<std::uint64_t>(std::ranges::lower_bound(times, time_us) - times.begin());
}

}  // namespace recordkv::sim
