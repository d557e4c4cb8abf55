// The text forms of public keys, and the choice of the curve that checks a signature.
//
// Owns: multikey, did:key and the keys of old documents. Does not know: how a curve computes (p256.cpp, k256.cpp).
#include "recordkv/atproto/signature.hpp"

#include "base58.hpp"
#include "curves.hpp"

#include <optional>

namespace recordkv::atproto {
namespace {

constexpr std::string_view did_key = "did:key:";

/// The curve's code in the multicodec table, as a varint.
constexpr std::string_view codec_of(curve c) noexcept { return c == curve::p256 ? "\x80\x24" : "\xe7\x01"; }
constexpr std::size_t codec_size = 2;

/// A text that is longer than any key is refused before it is decoded.
std::optional<std::string> from_multibase(std::string_view text) {
  if (!text.starts_with('z')) return std::nullopt;
  return from_base58(text.substr(1), codec_size + uncompressed_size);
}

std::optional<point> expand(curve c, std::string_view bytes) {
  if (!has_point_form(bytes)) return std::nullopt;
  return c == curve::p256 ? p256::expand(bytes) : k256::expand(bytes);
}

}  // namespace

std::string_view name(curve c) noexcept { return c == curve::p256 ? "p256" : "k256"; }

result<public_key> public_key::from_multikey(std::string_view text) {
  const auto bytes = from_multibase(text);
  if (!bytes) return fail(errc::malformed, "multibase");
  for (const auto c : {curve::k256, curve::p256}) {
    if (!bytes->starts_with(codec_of(c))) continue;
    const auto key = std::string_view(*bytes).substr(codec_size);
    const auto found = key.size() == compressed_size ? expand(c, key) : std::nullopt;
    if (!found) return fail(errc::malformed, "point");
    return public_key(c, *found);
  }
  return fail(errc::malformed, "codec");
}

result<public_key> public_key::from_did_key(std::string_view text) {
  if (!text.starts_with(did_key)) return fail(errc::malformed, "did_key");
  return from_multikey(text.substr(did_key.size()));
}

result<public_key> public_key::from_legacy(curve c, std::string_view multibase) {
  const auto bytes = from_multibase(multibase);
  if (!bytes) return fail(errc::malformed, "multibase");
  const auto found = expand(c, *bytes);
  if (!found) return fail(errc::malformed, "point");
  return public_key(c, *found);
}

std::string public_key::multikey() const {
  std::string bytes(codec_of(curve_));
  bytes += static_cast<char>(2 | (point_.back() & 1));
  bytes.append(point_.begin() + 1, point_.begin() + compressed_size);
  return "z" + to_base58(bytes);
}

bool public_key::verifies(const digest& signed_digest, std::string_view signature) const noexcept {
  if (signature.size() != signature_size) return false;
  return curve_ == curve::p256 ? p256::verifies(point_, signed_digest, signature)
                               : k256::verifies(point_, signed_digest, signature);
}

}  // namespace recordkv::atproto
