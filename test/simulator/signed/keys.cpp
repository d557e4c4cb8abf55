#include "keys.hpp"

#include "p256.hpp"

#include <fmt/format.h>
#include <secp256k1.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace recordkv::sim {
namespace {

const secp256k1_context* context() {
  static const secp256k1_context* const shared = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
  return shared;
}

signature sign_k256(const digest& secret, const digest& message) {
  secp256k1_ecdsa_signature made;
  signature out;
  if (secp256k1_ecdsa_sign(context(), &made, message.data(), secret.data(), nullptr, nullptr) != 1 ||
      secp256k1_ecdsa_signature_serialize_compact(context(), out.data(), &made) != 1)
    std::abort();  // only a secret of 0 or above n fails: one in 2^127
  return out;
}

compressed_point point_k256(const digest& secret) {
  secp256k1_pubkey key;
  compressed_point out;
  std::size_t size = out.size();
  if (secp256k1_ec_pubkey_create(context(), &key, secret.data()) != 1 ||
      secp256k1_ec_pubkey_serialize(context(), out.data(), &size, &key, SECP256K1_EC_COMPRESSED) != 1)
    std::abort();
  return out;
}

}  // namespace

signing_key signing_key::of(std::uint64_t seed, std::uint32_t account, std::uint32_t generation, sim::curve where) {
  return {where, sha256(fmt::format("signing key {} {} {} {}", seed, account, generation, static_cast<int>(where)))};
}

signature signing_key::sign(std::string_view bytes) const {
  const digest message = sha256(bytes);
  return curve_ == curve::k256 ? sign_k256(secret_, message) : p256::sign(secret_, message);
}

compressed_point signing_key::point() const {
  return curve_ == curve::k256 ? point_k256(secret_) : p256::point(secret_);
}

std::string signing_key::multikey() const {
  const compressed_point p = point();
  std::string bytes = curve_ == curve::k256 ? "\xe7\x01" : "\x80\x24";
  bytes.append(reinterpret_cast<const char*>(p.data()), p.size());
  return "z" + base58(bytes);
}

signature high_s(sim::curve where, const signature& low) {
  constexpr digest k256_order = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48,
                                 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41};
  constexpr digest p256_order = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
  const digest& order = where == curve::k256 ? k256_order : p256_order;
  signature out = low;
  int borrow = 0;
  for (std::size_t i = 32; i-- > 0;) {
    const int difference = order[i] - low[32 + i] - borrow;
    borrow = difference < 0 ? 1 : 0;
    out[32 + i] = static_cast<unsigned char>(difference + 256 * borrow);
  }
  return out;
}

std::string base58(std::string_view bytes) {
  constexpr std::string_view alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  std::vector<unsigned> digits;  // the least significant first
  for (const char c : bytes) {
    unsigned carry = static_cast<unsigned char>(c);
    for (unsigned& d : digits) {
      carry += d << 8;
      d = carry % 58;
      carry /= 58;
    }
    for (; carry > 0; carry /= 58) digits.push_back(carry % 58);
  }
  std::string out(std::min(bytes.find_first_not_of('\0'), bytes.size()), '1');
  for (auto d = digits.rbegin(); d != digits.rend(); ++d) out += alphabet[*d];
  return out;
}

}  // namespace recordkv::sim
