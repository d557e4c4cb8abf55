#include "frame_gatherer.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::stages {

const frame_gatherer::gathered* frame_gatherer::find(const std::string& partition) const {
  const auto found = std::ranges::find(waiting_, partition, &gathered::partition);
  return found == waiting_.end() ? nullptr : &*found;
}

bool frame_gatherer::must_wait(const std::string& partition, const piece& p) const {
  if (p.bytes.size() >= limits_.bytes) return !empty();
  const auto* const of = find(partition);
  return of != nullptr && of->bytes + p.bytes.size() > limits_.bytes;
}

void frame_gatherer::add(const std::string& partition, piece p) {
  auto found = std::ranges::find(waiting_, partition, &gathered::partition);
  if (found == waiting_.end())
    found = waiting_.insert(found, {.partition = partition, .frames = {}, .before = newest_});
  newest_ = later(newest_, p.at);
  found->bytes += p.bytes.size();
  found->frames.push_back(std::move(p));
}

bool frame_gatherer::is_full(const std::string& partition) const {
  const auto* const of = find(partition);
  return of != nullptr && (of->frames.size() >= limits_.frames || of->bytes >= limits_.bytes);
}

frame_gatherer::parcel frame_gatherer::take() { return take_at(waiting_.begin()); }

frame_gatherer::parcel frame_gatherer::take(const std::string& partition) {
  return take_at(std::ranges::find(waiting_, partition, &gathered::partition));
}

frame_gatherer::parcel frame_gatherer::take_at(std::deque<gathered>::iterator at) {
  parcel out{.partition = std::move(at->partition), .frames = std::move(at->frames), .before = waiting_.front().before};
  waiting_.erase(at);
  out.up_to = waiting_.empty() ? newest_ : waiting_.front().before;
  return out;
}

}  // namespace recordkv::stages
