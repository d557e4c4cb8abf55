#include "store_growth.hpp"

namespace recordkv::stages {
namespace {

constexpr std::chrono::seconds window{10};

}  // namespace

void store_growth::take(const nats::stream_state& store, time now) {
  if (!looks_.empty() && store.last_seq < looks_.back().last_seq) looks_.clear();
  looks_.push_back({now, store.messages, store.last_seq});
  while (looks_.size() > 2 && now - looks_[1].at >= window) looks_.pop_front();
}

std::string store_growth::members() const {
  if (looks_.size() < 2) return {};
  const auto& from = looks_.front();
  const auto& to = looks_.back();
  const double seconds = std::chrono::duration<double>(to.at - from.at).count();
  if (seconds <= 0) return {};
  const auto written = static_cast<double>(to.last_seq - from.last_seq);
  const auto grown = static_cast<double>(static_cast<std::int64_t>(to.keys - from.keys));
  return fmt::format(R"("writes_per_second":{:.1f},"keys_per_second":{:.1f},)", written / seconds, grown / seconds);
}

}  // namespace recordkv::stages
