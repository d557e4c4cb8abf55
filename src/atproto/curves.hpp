// The two curves of the AT Protocol, each with the library that computes on it.
//
// Owns: what signature.cpp asks of a curve. Does not know: texts of keys.
#pragma once

#include "recordkv/atproto/cid.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace recordkv::atproto {

inline constexpr std::size_t compressed_size = 33, uncompressed_size = 65;
using point = std::array<unsigned char, uncompressed_size>;  // 4, x, y: no square root is needed to read it

/// SEC 1: 2 or 3 and x, or 4 and x and y. The libraries would also read the hybrid forms 6 and 7.
constexpr bool has_point_form(std::string_view bytes) noexcept {
  if (bytes.size() == compressed_size) return bytes[0] == 2 || bytes[0] == 3;
  return bytes.size() == uncompressed_size && bytes[0] == 4;
}

inline const unsigned char* octets(std::string_view bytes) noexcept {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

namespace p256 {
/// The uncompressed form of bytes that have the form of a point. Nothing: the point is not on the curve.
std::optional<point> expand(std::string_view bytes);
/// `signature` holds signature_size bytes. False also for r or s out of range, and for high S.
bool verifies(const point& key, const digest& signed_digest, std::string_view signature);
}  // namespace p256

namespace k256 {  // the same two
std::optional<point> expand(std::string_view bytes);
bool verifies(const point& key, const digest& signed_digest, std::string_view signature);
}  // namespace k256

}  // namespace recordkv::atproto
