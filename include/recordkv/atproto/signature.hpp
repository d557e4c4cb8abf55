// The public keys of accounts, and signatures made with them.
//
// Owns: both curves of the AT Protocol (p256, k256), the text forms of a key, the check of one signature.
// Does not know: what was signed, DID documents, and private keys. Pure, and safe on any thread.
// Sources: atproto.com specifications "cryptography" and "did"; multicodec table (0x1200, 0xe7).
#pragma once

#include "recordkv/atproto/cid.hpp"
#include "recordkv/core/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::atproto {

enum class curve : std::uint8_t { p256, k256 };
std::string_view name(curve c) noexcept;  ///< "p256", "k256"

inline constexpr std::size_t signature_size = 64;  ///< r and s, 32 bytes each, big endian

/// A point on its curve, in 66 bytes. Half as many would do, but then each check would compute a square root.
class public_key {
 public:
  /// "zQ3s…" or "zDn…": base58btc of a codec prefix and a compressed point. errc::malformed with a word: "multibase"
  /// (not base58btc, or longer than any key), "codec", "point" (not on the curve, or of a wrong form or length).
  static result<public_key> from_multikey(std::string_view text);
  /// "did:key:" and a multikey. One more word: "did_key".
  static result<public_key> from_did_key(std::string_view text);
  /// The key of an old document: base58btc of an uncompressed (or compressed) point. The document's type names the
  /// curve.
  static result<public_key> from_legacy(curve c, std::string_view multibase);

  curve on() const noexcept { return curve_; }
  /// The inverse of from_multikey().
  std::string multikey() const;

  /// Whether `signature` is this key's signature of `signed_digest`. False for any length but signature_size, for r or
  /// s out of range, and for s above half of the order. The specification demands low S on both curves.
  bool verifies(const digest& signed_digest, std::string_view signature) const noexcept;

  bool operator==(const public_key&) const = default;

 private:
  public_key(curve c, const std::array<unsigned char, 65>& point) noexcept : curve_(c), point_(point) {}

  curve curve_;
  std::array<unsigned char, 65> point_;  // uncompressed; checked to be on the curve
};

}  // namespace recordkv::atproto
