#include "names.hpp"

#include "draw.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cstring>

namespace recordkv::sim {
namespace {

constexpr std::string_view base32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view base32_sortable = "234567abcdefghijklmnopqrstuvwxyz";

void append_base32(std::string& out, std::string_view bytes) {
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    for (held += 8; held >= 5; held -= 5) out += base32[(bits >> (held - 5)) & 31];
  }
  if (held > 0) out += base32[(bits << (5 - held)) & 31];
}

std::uint32_t murmur3(std::string_view s) noexcept {
  const auto scramble = [](std::uint32_t k) {
    k *= 0xcc9e2d51U;
    return std::rotl(k, 15) * 0x1b873593U;
  };
  const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(s[i])}; };
  std::uint32_t h = 0;
  std::size_t i = 0;
  for (; i + 4 <= s.size(); i += 4) {
    h ^= scramble(byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24);
    h = std::rotl(h, 13) * 5 + 0xe6546b64U;
  }
  std::uint32_t tail = 0;
  for (std::size_t j = s.size(); j > i; --j) tail = tail << 8 | byte(j - 1);
  h ^= scramble(tail);
  h ^= static_cast<std::uint32_t>(s.size());
  h = (h ^ (h >> 16)) * 0x85ebca6bU;
  h = (h ^ (h >> 13)) * 0xc2b2ae35U;
  return h ^ (h >> 16);
}

}  // namespace

std::string did_of(std::uint64_t seed, std::uint32_t account) {
  draw d(mix(seed ^ 0xd1d), account);
  std::string out = "did:plc:";
  for (int half = 0; half < 2; ++half) {
    std::uint64_t bits = d.next();
    for (int i = 0; i < 12; ++i, bits >>= 5) out += base32[bits & 31];
  }
  return out;
}

void append_tid(std::string& out, std::uint64_t tid) {
  char text[13];
  for (int i = 12; i >= 0; --i, tid >>= 5) text[i] = base32_sortable[tid & 31];
  out.append(text, sizeof text);
}

void cid::append_binary(std::string& out) const {
  const char head[] = {0x01, codec, 0x12, 0x20};
  out.append(head, sizeof head);
  out.append(reinterpret_cast<const char*>(hash.data()), hash.size());
}

void cid::append_text(std::string& out) const {
  char binary[36] = {0x01, codec, 0x12, 0x20};
  std::memcpy(binary + 4, hash.data(), hash.size());
  out += 'b';
  append_base32(out, {binary, sizeof binary});
}

digest sha256(std::string_view bytes) {
  static EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);  // fetching anew costs more than hashing
  static EVP_MD_CTX* const context = EVP_MD_CTX_new();
  digest out;
  if (EVP_DigestInit_ex(context, algorithm, nullptr) != 1 ||
      EVP_DigestUpdate(context, bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(context, out.data(), nullptr) != 1)
    std::abort();  // no SHA-256: no simulator
  return out;
}

void append_time(std::string& out, std::uint64_t unix_us, int digits) {
  const std::uint64_t seconds = unix_us / 1'000'000;
  const auto of_day = static_cast<unsigned>(seconds % 86'400);
  // days to civil date, counting years from 1 March so that the leap day comes last
  const std::uint64_t z = seconds / 86'400 + 719'468;
  const std::uint64_t era = z / 146'097;
  const std::uint64_t doe = z % 146'097;
  const std::uint64_t yoe = (doe - doe / 1460 + doe / 36'524 - doe / 146'096) / 365;
  const std::uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const std::uint64_t mp = (5 * doy + 2) / 153;
  const auto day = static_cast<unsigned>(doy - (153 * mp + 2) / 5 + 1);
  const auto month = static_cast<unsigned>(mp < 10 ? mp + 3 : mp - 9);
  const auto year = static_cast<unsigned>(yoe + era * 400 + (month <= 2 ? 1 : 0));

  const auto put = [&out](unsigned value, int width) {
    char text[6];
    for (int i = width - 1; i >= 0; --i, value /= 10) text[i] = static_cast<char>('0' + value % 10);
    out.append(text, static_cast<std::size_t>(width));
  };
  put(year, 4), out += '-', put(month, 2), out += '-', put(day, 2), out += 'T';
  put(of_day / 3600, 2), out += ':', put(of_day / 60 % 60, 2), out += ':', put(of_day % 60, 2), out += '.';
  const auto us = static_cast<unsigned>(unix_us % 1'000'000);
  put(digits == 3 ? us / 1000 : us, digits);
  out += 'Z';
}

std::string partition_of(std::string_view did, unsigned partitions) {
  const std::uint32_t h = murmur3(did);
  if (partitions == 16) return fmt::format("{:02x}", h).substr(0, 1);
  const auto width = fmt::formatted_size("{:x}", partitions - 1);
  return fmt::format("{:0{}x}", h % partitions, width);
}

void append_encoded(std::string& out, std::string_view ascii) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  for (const char c : ascii) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '=' || c == '/' || c == '-';
    if (plain)
      out += c;
    else
      out.append({'/', hex[static_cast<unsigned char>(c) >> 4], hex[c & 15]});
  }
}

std::string key_of(std::string_view did, std::string_view collection, std::string_view rkey, unsigned partitions) {
  std::string out = partition_of(did, partitions);
  out.append(".").append(collection).append(".");
  append_encoded(out, did);
  out += '.';
  append_encoded(out, rkey);
  return out;
}

}  // namespace recordkv::sim
