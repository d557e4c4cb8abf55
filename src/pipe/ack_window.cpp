#include "recordkv/pipe/ack_window.hpp"

#include <algorithm>

namespace recordkv::pipe {

bool ack_window::full() const noexcept {
  return !items_.empty() && (items_.size() >= limits_.count || bytes_ >= limits_.bytes);
}

ordinal ack_window::open(std::size_t bytes) {
  items_.push_back({.bytes = bytes});
  bytes_ += bytes;
  return next() - 1;
}

ordinal ack_window::skip() {
  items_.push_back({.settled = true, .skipped = true});
  const ordinal o = next() - 1;
  release();
  return o;
}

void ack_window::settle(ordinal o) {
  if (o < floor_ || o >= next()) return;
  if (refused_ && o >= *refused_) return;  // to be sent again whatever the old answer said
  items_[o - floor_].settled = true;
  release();
}

void ack_window::refuse(ordinal o) {
  if (o < floor_ || o >= next()) return;
  refused_ = std::min(refused_.value_or(o), o);
  for (std::size_t i = *refused_ - floor_; i < items_.size(); ++i) items_[i].settled = items_[i].skipped;
}

void ack_window::abandon() noexcept {
  floor_ = next();
  items_.clear();
  bytes_ = 0;
  refused_.reset();
}

bool ack_window::settled(ordinal o) const noexcept { return o < floor_ || (o < next() && items_[o - floor_].settled); }

void ack_window::release() {
  while (!items_.empty() && items_.front().settled) {
    bytes_ -= items_.front().bytes;
    items_.pop_front();
    ++floor_;
  }
}

}  // namespace recordkv::pipe
