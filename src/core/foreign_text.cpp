#include "recordkv/core/foreign_text.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace recordkv {

std::string printable(std::string_view text, std::size_t max) {
  std::string out(text.substr(0, max));
  std::ranges::replace_if(out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

std::string query_text(std::string_view value) {
  constexpr std::string_view plain = "-._~:*";
  std::string out;
  for (const char c : value) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || plain.contains(c))
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return out;
}

}  // namespace recordkv
