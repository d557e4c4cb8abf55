#include "nkey.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

// github.com/nats-io/nkeys: a seed is base32(seed prefix, kind, 32 bytes, CRC16), a public key base32(kind, 32 bytes,
// CRC16); the CRC is XMODEM's, its low byte first.
namespace recordkv::nats {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::uint8_t seed_prefix = 18 << 3, user_kind = 20 << 3;
constexpr std::size_t key_size = 32, seed_letters = 58, seed_bytes = 2 + key_size + 2;

std::uint16_t crc16(std::span<const std::uint8_t> bytes) {
  std::uint16_t crc = 0;
  for (const auto b : bytes) {
    crc = static_cast<std::uint16_t>(crc ^ b << 8);
    for (int i = 0; i < 8; ++i) crc = static_cast<std::uint16_t>((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1);
  }
  return crc;
}

std::vector<std::uint8_t> decode(std::string_view text) {
  std::vector<std::uint8_t> out;
  unsigned held = 0, bits = 0;
  for (const char c : text) {
    const auto value = alphabet.find(c);
    if (value == alphabet.npos) return {};
    held = (held << 5 | static_cast<unsigned>(value)) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    out.push_back(static_cast<std::uint8_t>(held >> bits));
  }
  return out;
}

std::string encode(std::span<const std::uint8_t> bytes) {
  std::string out;
  unsigned held = 0, bits = 0;
  for (const auto b : bytes) {
    held = (held << 8 | b) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) out += alphabet[held >> (bits - 5) & 31];
  }
  if (bits != 0) out += alphabet[held << (5 - bits) & 31];
  return out;
}

std::string public_of(std::span<const std::uint8_t> secret) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, secret.data(), secret.size()), &EVP_PKEY_free);
  std::array<std::uint8_t, 1 + key_size + 2> out{user_kind};
  std::size_t size = key_size;
  if (!key || EVP_PKEY_get_raw_public_key(key.get(), &out[1], &size) != 1 || size != key_size) return {};
  const auto crc = crc16(std::span(out).first(1 + key_size));
  out[1 + key_size] = static_cast<std::uint8_t>(crc & 0xff);
  out[2 + key_size] = static_cast<std::uint8_t>(crc >> 8);
  return encode(out);
}

}  // namespace

std::string public_nkey(std::string_view seed) {
  if (seed.size() != seed_letters) return {};
  auto raw = decode(seed);
  std::string out;
  if (raw.size() == seed_bytes) {
    const auto bytes = std::span<const std::uint8_t>(raw);
    const unsigned sum = bytes[seed_bytes - 2] | bytes[seed_bytes - 1] << 8;
    const auto kind = static_cast<std::uint8_t>((bytes[0] & 7) << 5 | (bytes[1] & 0xf8) >> 3);
    const bool good =
        (bytes[0] & 0xf8) == seed_prefix && kind == user_kind && crc16(bytes.first(seed_bytes - 2)) == sum;
    if (good) out = public_of(bytes.subspan(2, key_size));
  }
  OPENSSL_cleanse(raw.data(), raw.size());
  return out;
}

}  // namespace recordkv::nats
