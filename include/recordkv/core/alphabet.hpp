// The alphabets of text encodings: base32, base58, base64.
//
// Owns: the table from a character back to its value.
// Does not know: which alphabets there are, and how bits are divided among characters.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace recordkv {

/// For each byte its place in the alphabet; -1: the alphabet does not have it.
constexpr std::array<signed char, 256> values_of(std::string_view alphabet) {
  std::array<signed char, 256> table{};
  table.fill(-1);
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    table[static_cast<unsigned char>(alphabet[i])] = static_cast<signed char>(i);
  return table;
}

}  // namespace recordkv
