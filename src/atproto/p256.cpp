// Curve p256 (NIST P-256, secp256r1).
//
// Owns: the seam to OpenSSL's ECDSA, the check for low S, the DER form that OpenSSL wants.
// Does not know: the other curve. OpenSSL accepts high S.
#include "curves.hpp"
#include "recordkv/atproto/signature.hpp"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace recordkv::atproto::p256 {
namespace {

using pkey = std::unique_ptr<EVP_PKEY, decltype([](EVP_PKEY* p) { EVP_PKEY_free(p); })>;
using bignum = std::unique_ptr<BIGNUM, decltype([](BIGNUM* n) { BN_free(n); })>;
using pkey_context = std::unique_ptr<EVP_PKEY_CTX, decltype([](EVP_PKEY_CTX* p) { EVP_PKEY_CTX_free(p); })>;

constexpr int coordinate_size = 32;  // of x, and of y

/// OpenSSL queues errors per thread, and TLS reads that queue. A refused key or signature must leave nothing there.
class error_queue_guard {
 public:
  error_queue_guard() noexcept { ERR_set_mark(); }
  ~error_queue_guard() { ERR_pop_to_mark(); }
  error_queue_guard(const error_queue_guard&) = delete;
  error_queue_guard& operator=(const error_queue_guard&) = delete;
};

/// A key object without a point. A failure ends the program, because it could not check any signature.
pkey empty_key() {
  const pkey_context maker(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* made = nullptr;
  if (!maker || EVP_PKEY_paramgen_init(maker.get()) != 1 || EVP_PKEY_CTX_set_group_name(maker.get(), "P-256") != 1 ||
      EVP_PKEY_paramgen(maker.get(), &made) != 1) {
    throw std::runtime_error("OpenSSL offers no P-256");
  }
  return pkey(made);
}

/// One key object that takes one public key after the other. A new object for each would make a check 20 % slower.
class verifier {
 public:
  verifier() : key_(empty_key()), context_(EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr)) {
    if (!context_) throw std::runtime_error("OpenSSL offers no ECDSA");
  }

  /// False: not a point of the curve.
  bool take(const unsigned char* bytes, std::size_t size) noexcept {
    return EVP_PKEY_set1_encoded_public_key(key_.get(), bytes, size) == 1;
  }

  /// The point that was taken last, uncompressed.
  std::optional<point> uncompressed() noexcept {
    point out{4};
    return coordinate(OSSL_PKEY_PARAM_EC_PUB_X, out.data() + 1) &&
                   coordinate(OSSL_PKEY_PARAM_EC_PUB_Y, out.data() + 1 + coordinate_size)
               ? std::optional(out)
               : std::nullopt;
  }

  /// Whether the key that was taken last made this signature. An OpenSSL context looks at its key in init.
  bool accepts(std::string_view hashed, const unsigned char* der, std::size_t size) noexcept {
    return EVP_PKEY_verify_init(context_.get()) == 1 &&
           EVP_PKEY_verify(context_.get(), der, size, octets(hashed), hashed.size()) == 1;
  }

 private:
  bool coordinate(const char* name, unsigned char* into) noexcept {
    BIGNUM* n = nullptr;
    if (EVP_PKEY_get_bn_param(key_.get(), name, &n) != 1) return false;
    const bignum held(n);
    return BN_bn2binpad(n, into, coordinate_size) == coordinate_size;
  }

  pkey key_;
  pkey_context context_;
};

/// One per thread, because a key object must not be changed while another thread uses it.
verifier& own_verifier() {
  thread_local verifier v;
  return v;
}

constexpr std::size_t scalar_size = signature_size / 2;  // of r, and of s

/// Half of the curve's order, rounded down: the largest low S.
constexpr std::array<unsigned char, scalar_size> largest_s = {
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8};

bool is_low(const unsigned char* s) noexcept { return std::memcmp(s, largest_s.data(), scalar_size) <= 0; }

/// SEQUENCE { INTEGER r, INTEGER s }. A zero is encoded as a number, and OpenSSL refuses it.
class der_signature {
 public:
  explicit der_signature(const unsigned char* rs) noexcept {
    add(rs);
    add(rs + scalar_size);
    bytes_[1] = static_cast<unsigned char>(size_ - 2);
  }
  const unsigned char* data() const noexcept { return bytes_.data(); }
  std::size_t size() const noexcept { return size_; }

 private:
  /// The shortest form of a positive number: no leading zeros, except one if the first bit would otherwise be a sign.
  void add(const unsigned char* value) noexcept {
    const auto* const end = value + scalar_size;
    const auto* const first = std::find_if(value, end - 1, [](unsigned char c) { return c != 0; });
    const bool signs = (*first & 0x80) != 0;
    bytes_[size_++] = 0x02;
    bytes_[size_++] = static_cast<unsigned char>(end - first + (signs ? 1 : 0));
    if (signs) bytes_[size_++] = 0;
    size_ = static_cast<std::size_t>(std::copy(first, end, bytes_.begin() + size_) - bytes_.begin());
  }

  std::array<unsigned char, 2 + 2 * (2 + 1 + scalar_size)> bytes_{0x30};
  std::size_t size_ = 2;
};

}  // namespace

std::optional<point> expand(std::string_view bytes) {
  const error_queue_guard guard;
  auto& v = own_verifier();
  if (!v.take(octets(bytes), bytes.size())) return std::nullopt;
  return v.uncompressed();
}

bool verifies(const point& key, const digest& signed_digest, std::string_view signature) {
  const auto* const rs = octets(signature);
  if (!is_low(rs + scalar_size)) return false;
  const error_queue_guard guard;
  auto& v = own_verifier();
  const der_signature der(rs);
  return v.take(key.data(), key.size()) &&
         v.accepts({signed_digest.data(), signed_digest.size()}, der.data(), der.size());
}

}  // namespace recordkv::atproto::p256
