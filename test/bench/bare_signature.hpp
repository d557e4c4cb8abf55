// The bare limit beside which verification is measured: one call of the curve's library, on prepared values.
//
// Owns: the key, the signature and the digest in the library's own forms.
// Does not know: commits. It checks less than public_key::verifies does: it parses nothing, and p256 accepts high S.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/signature.hpp"

#include <openssl/evp.h>
#include <secp256k1.h>

#include <memory>
#include <string>
#include <variant>

namespace recordkv::bench {

class bare_signature {
 public:
  /// Ends the process if the library refuses a value.
  bare_signature(const atproto::public_key& key, const atproto::event_proof& proof);

  bool right() const;

 private:
  struct k256 {
    secp256k1_pubkey key;
    secp256k1_ecdsa_signature signature;
  };
  struct p256 {
    std::unique_ptr<EVP_PKEY, decltype([](EVP_PKEY* k) { EVP_PKEY_free(k); })> key;
    std::unique_ptr<EVP_PKEY_CTX, decltype([](EVP_PKEY_CTX* c) { EVP_PKEY_CTX_free(c); })> context;
    std::string signature;  // DER
  };
  static k256 for_k256(const std::string& point, const std::string& signature);
  static p256 for_p256(const std::string& point, const std::string& signature);

  atproto::digest digest_;
  std::variant<k256, p256> prepared_;
};

}  // namespace recordkv::bench
