// Varints, base32 and the digest.
//
// Owns: the seam to OpenSSL's SHA-256.
// Does not know: documents; these are names of bytes.
#include "recordkv/atproto/cid.hpp"

#include "recordkv/core/alphabet.hpp"

#include <openssl/evp.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace recordkv::atproto {

namespace {

constexpr std::string_view base32 = "abcdefghijklmnopqrstuvwxyz234567";

constexpr auto base32_values = values_of(base32);

/// Takes an unsigned varint off the front: at most 9 bytes, shortest form.
bool take_varint(std::string_view& s, std::uint64_t& value) {
  value = 0;
  for (std::size_t i = 0; i < 9 && i < s.size(); ++i) {
    const auto byte = static_cast<unsigned char>(s[i]);
    value |= std::uint64_t{byte & 0x7Fu} << (7 * i);
    if ((byte & 0x80) == 0) {
      if (byte == 0 && i != 0) return false;
      s.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

/// The algorithm is looked up once, and a context lives as long as its thread. A one-shot EVP call looks it up anew
/// each time, which costs more than hashing a small block.
EVP_MD_CTX* hashing_context() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (algorithm == nullptr || !context || EVP_DigestInit_ex2(context.get(), algorithm, nullptr) != 1) {
    throw std::runtime_error("OpenSSL offers no SHA-256");
  }
  return context.get();
}

}  // namespace

digest sha256(std::string_view bytes) {
  digest out;
  auto* const context = hashing_context();
  EVP_DigestUpdate(context, bytes.data(), bytes.size());
  EVP_DigestFinal_ex(context, reinterpret_cast<unsigned char*>(out.data()), nullptr);
  return out;
}

bool is_block_cid(std::string_view binary) noexcept {
  return binary.size() == block_cid_size && binary[0] == 1 && (binary[1] == 0x71 || binary[1] == 0x55) &&
         binary[2] == 0x12 && binary[3] == 0x20;
}

bool is_cid(std::string_view binary) noexcept {
  if (is_block_cid(binary)) return true;
  if (binary.size() > max_cid) return false;
  std::uint64_t version = 0, content = 0, function = 0, size = 0;
  if (!take_varint(binary, version) || version != 1) return false;
  return take_varint(binary, content) && take_varint(binary, function) && take_varint(binary, size) && size != 0 &&
         size == binary.size();
}

bool names(std::string_view binary_cid, std::string_view block) {
  if (!is_block_cid(binary_cid)) return false;
  const auto sum = sha256(block);
  return std::memcmp(binary_cid.data() + 4, sum.data(), sum.size()) == 0;
}

std::string cid_text(std::string_view binary) {
  std::string out;
  out.reserve(1 + (binary.size() * 8 + 4) / 5);
  out += 'b';
  unsigned held = 0;
  unsigned bits = 0;
  for (const char c : binary) {
    held = held << 8 | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 5; bits -= 5) out += base32[held >> (bits - 5) & 31];
    held &= (1u << bits) - 1;
  }
  if (bits != 0) out += base32[held << (5 - bits) & 31];
  return out;
}

result<std::string> cid_from_text(std::string_view text) {
  if (!text.starts_with('b') || text.size() > 1 + (max_cid * 8 + 4) / 5) return fail(errc::malformed, "cid");
  std::string out;
  unsigned held = 0;
  unsigned bits = 0;
  for (const char c : text.substr(1)) {
    const signed char value = base32_values[static_cast<unsigned char>(c)];
    if (value < 0) return fail(errc::malformed, "cid");
    held = held << 5 | static_cast<unsigned char>(value);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(held >> bits);
      held &= (1u << bits) - 1;
    }
  }
  // What is left over must be padding: fewer than 5 bits, all zero. Otherwise two texts would name one CID.
  if (bits >= 5 || held != 0 || !is_cid(out)) return fail(errc::malformed, "cid");
  return out;
}

std::string cid_of(std::string_view block, codec c) {
  std::string out{'\x01', static_cast<char>(c), '\x12', '\x20'};
  const auto sum = sha256(block);
  out.append(sum.data(), sum.size());
  return out;
}

std::string cid_text_of(std::string_view block, codec c) { return cid_text(cid_of(block, c)); }

}  // namespace recordkv::atproto
