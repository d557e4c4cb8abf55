// Signing keys of accounts: K-256 by libsecp256k1, P-256 by OpenSSL.
//
// Owns: the derivation of a key from seed, account and generation; signatures; multikeys.
// Does not know: commits, documents. Signatures are deterministic, so that the same seed gives the same frames.
#pragma once

#include "../names.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::sim {

enum class curve : std::uint8_t { k256, p256 };

using signature = std::array<unsigned char, 64>;  ///< r and s, big endian
using compressed_point = std::array<unsigned char, 33>;

class signing_key {
 public:
  /// The key of an account. A rotation raises `generation`; a forger has a seed of its own.
  static signing_key of(std::uint64_t seed, std::uint32_t account, std::uint32_t generation, sim::curve where);

  /// Over the SHA-256 of `bytes`, in the low-S form.
  signature sign(std::string_view bytes) const;
  compressed_point point() const;
  /// "z", and base58btc of the codec and the compressed point.
  std::string multikey() const;

 private:
  signing_key(sim::curve where, digest secret) : curve_(where), secret_(secret) {}

  sim::curve curve_;
  digest secret_;
};

/// The other signature that the same equation allows. The protocol refuses it.
signature high_s(sim::curve where, const signature& low);

std::string base58(std::string_view bytes);

}  // namespace recordkv::sim
