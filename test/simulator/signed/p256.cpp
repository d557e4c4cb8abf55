#include "p256.hpp"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include <cstdlib>
#include <memory>

namespace recordkv::sim::p256 {
namespace {

struct free_number {
  void operator()(BIGNUM* n) const noexcept { BN_free(n); }
};
struct free_point {
  void operator()(EC_POINT* p) const noexcept { EC_POINT_free(p); }
};
using number = std::unique_ptr<BIGNUM, free_number>;
using curve_point = std::unique_ptr<EC_POINT, free_point>;

void require(bool ok) {
  if (!ok) std::abort();  // out of memory
}

const EC_GROUP* group() {
  static EC_GROUP* const shared = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
  require(shared != nullptr);
  return shared;
}

BN_CTX* scratch() {
  static BN_CTX* const shared = BN_CTX_new();
  require(shared != nullptr);
  return shared;
}

const BIGNUM* order() { return EC_GROUP_get0_order(group()); }

number number_of(const digest& bytes) {
  number out(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  require(out != nullptr);
  return out;
}

curve_point times_generator(const BIGNUM* n) {
  curve_point out(EC_POINT_new(group()));
  require(out != nullptr && EC_POINT_mul(group(), out.get(), n, nullptr, nullptr, scratch()) == 1);
  return out;
}

number nonce_of(const digest& secret, const digest& message) {
  std::string seed(reinterpret_cast<const char*>(secret.data()), secret.size());
  seed.append(reinterpret_cast<const char*>(message.data()), message.size());
  number k = number_of(sha256(seed));
  while (BN_is_zero(k.get()) || BN_cmp(k.get(), order()) >= 0) k = number_of(sha256(seed += '\0'));
  return k;
}

// The smaller of s and n − s.
void make_low(BIGNUM* s) {
  number half(BN_dup(order()));
  require(half != nullptr && BN_rshift1(half.get(), half.get()) == 1);
  if (BN_cmp(s, half.get()) > 0) require(BN_sub(s, order(), s) == 1);
}

}  // namespace

signature sign(const digest& secret, const digest& message) {
  const number k = nonce_of(secret, message), d = number_of(secret), z = number_of(message);
  const curve_point kg = times_generator(k.get());
  const number r(BN_new()), s(BN_new());
  require(r != nullptr && s != nullptr);
  // r = x(kG) mod n;  s = (z + r·d) / k mod n
  require(EC_POINT_get_affine_coordinates(group(), kg.get(), r.get(), nullptr, scratch()) == 1);
  require(BN_nnmod(r.get(), r.get(), order(), scratch()) == 1);
  require(BN_mod_mul(s.get(), r.get(), d.get(), order(), scratch()) == 1);
  require(BN_mod_add(s.get(), s.get(), z.get(), order(), scratch()) == 1);
  const number inverse(BN_mod_inverse(nullptr, k.get(), order(), scratch()));
  require(inverse != nullptr && BN_mod_mul(s.get(), s.get(), inverse.get(), order(), scratch()) == 1);
  make_low(s.get());
  signature out;
  require(BN_bn2binpad(r.get(), out.data(), 32) == 32 && BN_bn2binpad(s.get(), out.data() + 32, 32) == 32);
  return out;
}

compressed_point point(const digest& secret) {
  const number d = number_of(secret);
  const curve_point p = times_generator(d.get());
  compressed_point out;
  require(EC_POINT_point2oct(group(), p.get(), POINT_CONVERSION_COMPRESSED, out.data(), out.size(), scratch()) ==
          out.size());
  return out;
}

}  // namespace recordkv::sim::p256
