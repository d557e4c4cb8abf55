#include "bare_signature.hpp"

#include "base58.hpp"
#include "recorded.hpp"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>

namespace recordkv::bench {
namespace {

const unsigned char* octets(const std::string& bytes) noexcept {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

[[noreturn]] void refused(const char* what) { give_up(error{errc::malformed, fmt::format("refused: {}", what)}); }

/// The compressed point in a multikey: what follows its two bytes of codec.
std::string point_of(const atproto::public_key& key) {
  const auto bytes = atproto::from_base58(key.multikey().substr(1), 35);
  if (!bytes) refused("the key");
  return bytes->substr(2);
}

std::string der_of(const std::string& rs) {
  const std::unique_ptr<ECDSA_SIG, decltype([](ECDSA_SIG* s) { ECDSA_SIG_free(s); })> both(ECDSA_SIG_new());
  const int half = static_cast<int>(atproto::signature_size / 2);
  ECDSA_SIG_set0(both.get(), BN_bin2bn(octets(rs), half, nullptr), BN_bin2bn(octets(rs) + half, half, nullptr));
  unsigned char* out = nullptr;
  const int size = i2d_ECDSA_SIG(both.get(), &out);
  if (size <= 0) refused("the signature");
  std::string der(reinterpret_cast<const char*>(out), static_cast<std::size_t>(size));
  OPENSSL_free(out);
  return der;
}

}  // namespace

bare_signature::k256 bare_signature::for_k256(const std::string& point, const std::string& signature) {
  k256 out{};
  if (secp256k1_ec_pubkey_parse(secp256k1_context_static, &out.key, octets(point), point.size()) != 1)
    refused("the key");
  if (secp256k1_ecdsa_signature_parse_compact(secp256k1_context_static, &out.signature, octets(signature)) != 1)
    refused("the signature");
  return out;
}

bare_signature::p256 bare_signature::for_p256(const std::string& point, const std::string& signature) {
  p256 out;
  const std::unique_ptr<EVP_PKEY_CTX, decltype([](EVP_PKEY_CTX* c) { EVP_PKEY_CTX_free(c); })> maker(
      EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (!maker || EVP_PKEY_paramgen_init(maker.get()) != 1 || EVP_PKEY_CTX_set_group_name(maker.get(), "P-256") != 1 ||
      EVP_PKEY_paramgen(maker.get(), &key) != 1)
    refused("the curve");
  out.key.reset(key);
  if (EVP_PKEY_set1_encoded_public_key(key, octets(point), point.size()) != 1) refused("the key");
  out.context.reset(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (!out.context || EVP_PKEY_verify_init(out.context.get()) != 1) refused("the key");
  out.signature = der_of(signature);
  return out;
}

bare_signature::bare_signature(const atproto::public_key& key, const atproto::event_proof& proof)
    : digest_(proof.signed_digest) {
  if (key.on() == atproto::curve::k256)
    prepared_ = for_k256(point_of(key), proof.signature);
  else
    prepared_ = for_p256(point_of(key), proof.signature);
}

bool bare_signature::right() const {
  const auto* hashed = reinterpret_cast<const unsigned char*>(digest_.data());
  if (const auto* k = std::get_if<k256>(&prepared_))
    return secp256k1_ecdsa_verify(secp256k1_context_static, &k->signature, hashed, &k->key) == 1;
  const auto& p = std::get<p256>(prepared_);
  return EVP_PKEY_verify(p.context.get(), octets(p.signature), p.signature.size(), hashed, digest_.size()) == 1;
}

}  // namespace recordkv::bench
