#include "store_growth.hpp"

#include <cmath>

namespace recordkv::stages {
namespace {

constexpr std::chrono::seconds window{10};

}  // namespace

void store_growth::take(const nats::stream_state& store, time now) {
  if (!readings_.empty() && store.last_seq < readings_.back().last_seq) readings_.clear();
  readings_.push_back({now, store.messages, store.last_seq});
  while (readings_.size() > 2 && now - readings_[1].at >= window) readings_.pop_front();
}

void store_growth::describe(boost::json::object& report) const {
  if (readings_.size() < 2) return;
  const auto& from = readings_.front();
  const auto& to = readings_.back();
  const double seconds = std::chrono::duration<double>(to.at - from.at).count();
  if (seconds <= 0) return;
  const auto written = static_cast<double>(to.last_seq - from.last_seq);
  const auto grown = static_cast<double>(static_cast<std::int64_t>(to.keys - from.keys));
  report["writes_per_second"] = std::round(written / seconds * 10) / 10;
  report["keys_per_second"] = std::round(grown / seconds * 10) / 10;
}

}  // namespace recordkv::stages
