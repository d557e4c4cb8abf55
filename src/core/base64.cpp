#include "recordkv/core/base64.hpp"

#include "recordkv/core/alphabet.hpp"

#include <cstdint>

namespace recordkv {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr auto values = values_of(alphabet);

}  // namespace

void append_base64(std::string& out, std::string_view bytes) {
  out.reserve(out.size() + (bytes.size() * 4 + 2) / 3);
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const char c : bytes) {
    held = held << 8 | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6; bits -= 6) out += alphabet[held >> (bits - 6) & 63];
  }
  if (bits != 0) out += alphabet[held << (6 - bits) & 63];
}

std::string padded_base64(std::string_view bytes) {
  std::string out;
  append_base64(out, bytes);
  out.append((4 - out.size() % 4) % 4, '=');
  return out;
}

bool append_from_base64(std::string& out, std::string_view text) {
  if (text.size() % 4 == 0) {
    for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return false;
  out.reserve(out.size() + text.size() * 3 / 4);
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const char c : text) {
    const signed char value = values[static_cast<unsigned char>(c)];
    if (value < 0) return false;
    held = held << 6 | static_cast<unsigned char>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(held >> bits);
      held &= (1u << bits) - 1;
    }
  }
  return held == 0;
}

}  // namespace recordkv
