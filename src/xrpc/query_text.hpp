// Text in the query of a URL. Owns: its escapes. Pure.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace recordkv::xrpc {

/// DIDs have few other characters than these.
inline std::string query_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~:").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace recordkv::xrpc
