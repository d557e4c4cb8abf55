// Base58: one large number, written to base 256 and to base 58. Leading zeros are kept, each as a zero or a '1'.
//
// Owns: the alphabet and the arithmetic, digit by digit. Does not know: multibase prefixes.
#include "base58.hpp"

#include "recordkv/core/alphabet.hpp"

#include <algorithm>

namespace recordkv::atproto {
namespace {

constexpr std::string_view alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

constexpr auto values = values_of(alphabet);

/// Makes `number` (lowest digit first) `number * factor + add`, in digits to the base `base`.
void multiply_add(std::string& number, unsigned base, unsigned factor, unsigned add) {
  for (auto& digit : number) {
    add += factor * static_cast<unsigned char>(digit);
    digit = static_cast<char>(add % base);
    add /= base;
  }
  for (; add != 0; add /= base) number += static_cast<char>(add % base);
}

std::size_t leading(std::string_view s, char c) { return std::min(s.find_first_not_of(c), s.size()); }

}  // namespace

std::string to_base58(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) multiply_add(out, 58, 256, static_cast<unsigned char>(byte));
  out.append(leading(bytes, '\0'), '\0');
  for (auto& digit : out) digit = alphabet[static_cast<unsigned char>(digit)];
  std::ranges::reverse(out);
  return out;
}

std::optional<std::string> from_base58(std::string_view text, std::size_t max_size) {
  if (text.size() > max_size * 7 / 5 + 1) return std::nullopt;  // a byte takes at most 1.37 characters
  std::string out;
  for (const char c : text) {
    const auto value = values[static_cast<unsigned char>(c)];
    if (value < 0) return std::nullopt;
    multiply_add(out, 256, 58, static_cast<unsigned>(value));
  }
  out.append(leading(text, alphabet[0]), '\0');
  if (out.size() > max_size) return std::nullopt;
  std::ranges::reverse(out);
  return out;
}

}  // namespace recordkv::atproto
