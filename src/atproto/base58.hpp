// Base58 with Bitcoin's alphabet, the multibase "z", without its prefix.
//
// Owns: both directions. Each sequence of bytes has exactly one text.
// Does not know: what the bytes are. Time grows with the square of the length, hence the bound.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv::atproto {

std::string to_base58(std::string_view bytes);

/// Nothing: a character outside the alphabet, or more than `max_size` bytes.
std::optional<std::string> from_base58(std::string_view text, std::size_t max_size);

}  // namespace recordkv::atproto
