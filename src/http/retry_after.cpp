#include "recordkv/http/retry_after.hpp"

#include "recordkv/core/parse_number.hpp"

#include <algorithm>
#include <ctime>
#include <string>

namespace recordkv::http {

std::optional<std::chrono::seconds> retry_after(std::string_view value, std::chrono::seconds at_most) {
  if (value.empty()) return {};
  const std::string text(value.substr(0, 40));
  std::int64_t seconds = 0;
  if (std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) {
    seconds = parse_number<std::int64_t>(text).value_or(at_most.count());
  } else {
    std::tm when{};
    if (!strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &when)) return {};
    seconds = timegm(&when) - std::time(nullptr);
  }
  return std::clamp(std::chrono::seconds(seconds), std::chrono::seconds(0), at_most);
}

}  // namespace recordkv::http
