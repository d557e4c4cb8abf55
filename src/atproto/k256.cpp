// Curve k256 (secp256k1).
//
// Owns: the seam to libsecp256k1. Its static context is read only, so all threads share it.
// Does not know: OpenSSL, which takes 13 times as long on this curve.
#include <secp256k1.h>

#include "curves.hpp"

namespace recordkv::atproto::k256 {
namespace {

const secp256k1_context* context() noexcept {
  static const secp256k1_context* const tested = [] {
    secp256k1_selftest();  // required once before the static context; aborts if the library was built wrongly
    return secp256k1_context_static;
  }();
  return tested;
}

}  // namespace

std::optional<point> expand(std::string_view bytes) {
  secp256k1_pubkey key;
  if (secp256k1_ec_pubkey_parse(context(), &key, octets(bytes), bytes.size()) != 1) return std::nullopt;
  point out{};
  auto size = out.size();
  secp256k1_ec_pubkey_serialize(context(), out.data(), &size, &key, SECP256K1_EC_UNCOMPRESSED);
  return out;
}

bool verifies(const point& key, const digest& signed_digest, std::string_view signature) {
  secp256k1_pubkey parsed;
  secp256k1_ecdsa_signature rs;
  if (secp256k1_ec_pubkey_parse(context(), &parsed, key.data(), key.size()) != 1) return false;
  if (secp256k1_ecdsa_signature_parse_compact(context(), &rs, octets(signature)) != 1) return false;
  const std::string_view hashed(signed_digest.data(), signed_digest.size());
  return secp256k1_ecdsa_verify(context(), &rs, octets(hashed), &parsed) == 1;  // refuses zeros and high S
}

}  // namespace recordkv::atproto::k256
