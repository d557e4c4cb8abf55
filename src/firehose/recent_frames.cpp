#include "recent_frames.hpp"

#include <algorithm>
#include <functional>

namespace recordkv::firehose {
namespace {

constexpr std::size_t max_remembered = 8192;
constexpr std::size_t sampled = 256;  // bytes at either end; signatures and CIDs stand there

// Both ends and the size: two frames with the same number differ there, and a long frame costs no more.
std::uint64_t fingerprint(std::string_view bytes) {
  const std::hash<std::string_view> hash;
  const auto tail =
      bytes.size() > sampled ? bytes.substr(std::max(sampled, bytes.size() - sampled)) : std::string_view{};
  return hash(bytes.substr(0, sampled)) * 31 + hash(tail) + bytes.size();
}

}  // namespace

void recent_frames::add(std::uint64_t seq, std::string_view bytes) {
  seen_.push_back({seq, fingerprint(bytes)});
  if (seen_.size() <= max_remembered) return;
  complete_above_ = std::max(complete_above_, seen_.front().seq);
  seen_.pop_front();
}

recent_frames::verdict recent_frames::look(std::uint64_t seq, std::string_view bytes) {
  const auto print = fingerprint(bytes);
  const auto same = std::ranges::equal_range(seen_, seq, {}, &seen::seq);
  if (std::ranges::any_of(same, [print](const seen& s) { return s.fingerprint == print; })) return verdict::repeated;
  if (seq <= complete_above_) return verdict::unknown;
  seen_.insert(same.end(), {seq, print});
  if (seen_.size() > max_remembered) {
    complete_above_ = std::max(complete_above_, seen_.front().seq);
    seen_.pop_front();
  }
  return verdict::late;
}

void recent_frames::reconnected() noexcept {
  if (!seen_.empty() && seen_.front().seq > 0) complete_above_ = std::max(complete_above_, seen_.front().seq - 1);
}

void recent_frames::clear() noexcept {
  seen_.clear();
  complete_above_ = 0;
}

}  // namespace recordkv::firehose
