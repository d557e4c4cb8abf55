#include "wire_subjects.hpp"

namespace recordkv::nats {
namespace {

constexpr std::string_view own_api = "$JS.API.", bucket = "$KV.";

}  // namespace

wire_subjects::wire_subjects(std::string_view api_prefix) {
  if (!api_prefix.empty()) prefix_ = std::string(api_prefix) + '.';
  if (prefix_ == own_api) prefix_.clear();
}

std::string wire_subjects::out(std::string_view subject) const {
  if (has_prefix() && subject.starts_with(own_api)) return prefix_ + std::string(subject.substr(own_api.size()));
  if (has_prefix() && subject.starts_with(bucket)) return prefix_ + std::string(subject);
  return std::string(subject);
}

std::string wire_subjects::back(std::string_view subject) const {
  if (!has_prefix() || !subject.starts_with(prefix_)) return std::string(subject);
  const auto rest = subject.substr(prefix_.size());
  return rest.starts_with(bucket) ? std::string(rest) : std::string(own_api) + std::string(rest);
}

}  // namespace recordkv::nats
