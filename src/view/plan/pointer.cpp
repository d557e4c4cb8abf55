#include "plan/pointer.hpp"

#include <charconv>

namespace recordkv::view {
namespace {

std::string unescaped(std::string_view segment) {
  std::string out;
  for (std::size_t i = 0; i < segment.size(); ++i)
    if (segment[i] == '~' && i + 1 < segment.size())
      out += segment[++i] == '1' ? '/' : '~';
    else
      out += segment[i];
  return out;
}

}  // namespace

bool is_pointer(std::string_view s) noexcept {
  if (s.size() > 1024 || (!s.empty() && s[0] != '/')) return false;
  for (std::size_t i = 0; i < s.size(); ++i)
    if (s[i] == '~' && (i + 1 == s.size() || (s[i + 1] != '0' && s[i + 1] != '1'))) return false;
  return true;
}

const boost::json::value* step(const boost::json::value& in, std::string_view segment) {
  if (const auto* const object = in.if_object())
    return segment.contains('~') ? object->if_contains(unescaped(segment)) : object->if_contains(segment);
  const auto* const array = in.if_array();
  if (array == nullptr || segment.empty() || (segment[0] == '0' && segment.size() > 1)) return nullptr;
  std::size_t index = 0;
  const auto [end, ec] = std::from_chars(segment.data(), segment.data() + segment.size(), index);
  return ec == std::errc{} && end == segment.data() + segment.size() ? array->if_contains(index) : nullptr;
}

bool begins_with(std::string_view pointer, std::string_view member) {
  if (pointer.empty()) return false;
  const auto segment = take_segment(pointer);
  return segment.contains('~') ? unescaped(segment) == member : segment == member;
}

const boost::json::value* find(const boost::json::value& in, std::string_view pointer) {
  const boost::json::value* at = &in;
  while (at != nullptr && !pointer.empty()) at = step(*at, take_segment(pointer));
  return at;
}

}  // namespace recordkv::view
