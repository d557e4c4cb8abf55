// The key codec and the partition function of nats-record-kv, bit for bit.
//
// Owns: escaping by UTF-16 code unit, MurmurHash3, the label of a partition.
// Does not know: subjects, buckets, validity.
#include "recordkv/kv/record_key.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

namespace recordkv::kv {

namespace {

constexpr std::array<bool, 256> passing = [] {
  std::array<bool, 256> out{};
  for (const unsigned char c : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_=/-"))
    out[c] = true;
  return out;
}();

constexpr bool passes(char c) { return passing[static_cast<unsigned char>(c)]; }

/// Takes one character from the front. A byte that is not UTF-8 counts as U+FFFD, as in JavaScript's decoders.
char32_t take_character(std::string_view& s) {
  const auto byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const unsigned first = byte(0);
  const std::size_t size = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  char32_t c = size == 1 ? first : first & (0x7F >> size);
  bool valid = first < 0x80 || (first >= 0xC2 && first <= 0xF4);
  for (std::size_t i = 1; i < size; ++i) {
    valid = valid && (byte(i) & 0xC0) == 0x80;
    c = c << 6 | (byte(i) & 0x3F);
  }
  if (size == 3) valid = valid && c >= 0x800 && (c < 0xD800 || c > 0xDFFF);
  if (size == 4) valid = valid && c >= 0x10000 && c <= 0x10FFFF;
  s.remove_prefix(valid ? size : 1);
  return valid ? c : 0xFFFD;
}

void append_unit(std::string& out, unsigned unit) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  out += '/';
  int digits = unit > 0xFFF ? 4 : unit > 0xFF ? 3 : 2;
  while (digits-- != 0) out += hex[unit >> (4 * digits) & 15];
}

void append_encoded(std::string& out, std::string_view part) {
  for (;;) {
    std::size_t run = 0;
    while (run < part.size() && passes(part[run])) ++run;
    out.append(part.substr(0, run));
    part.remove_prefix(run);
    if (part.empty()) return;
    const auto c = take_character(part);
    if (c < 0x10000) {
      append_unit(out, c);
    } else {
      append_unit(out, 0xD7C0 + (c >> 10));
      append_unit(out, 0xDC00 + (c & 0x3FF));
    }
  }
}

int hex_value(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/// Calls `one` for each dotted piece of `s`, keeping the dots in `out`.
template <class One>
void per_token(std::string& out, std::string_view s, One one) {
  for (;;) {
    const auto dot = s.find('.');
    one(s.substr(0, dot));
    if (dot == s.npos) return;
    out += '.';
    s.remove_prefix(dot + 1);
  }
}

std::string label(std::uint32_t value, unsigned partitions) {
  return fmt::format("{:0{}x}", value, fmt::formatted_size("{:x}", std::max(partitions, 1u) - 1));
}

}  // namespace

std::uint32_t murmur3(std::string_view s) noexcept {
  const auto scramble = [](std::uint32_t k) { return std::rotl(k * 0xcc9e2d51u, 15) * 0x1b873593u; };
  const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(s[i])}; };
  std::uint32_t h = 0;
  std::size_t i = 0;
  for (; i + 4 <= s.size(); i += 4) {
    h ^= scramble(byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24);
    h = std::rotl(h, 13) * 5 + 0xe6546b64u;
  }
  std::uint32_t tail = 0;
  for (std::size_t k = s.size(); k > i; --k) tail = tail << 8 | byte(k - 1);
  h ^= scramble(tail);
  h ^= static_cast<std::uint32_t>(s.size());
  h = (h ^ h >> 16) * 0x85ebca6bu;
  h = (h ^ h >> 13) * 0xc2b2ae35u;
  return h ^ h >> 16;
}

std::string partition_of(std::string_view did, unsigned partitions) {
  const auto hash = murmur3(did);
  if (partitions != 16) return label(hash % std::max(partitions, 1u), partitions);
  // The reference takes the first character of the hash in hex, padded to two digits only. Leading zeros are absent,
  // so the label is the first non-zero digit. "0" needs a hash below 0x10.
  if (hash < 0x10) return "0";
  const int unused = std::countl_zero(hash) / 4 * 4;
  return std::string(1, "0123456789abcdef"[hash << unused >> 28]);
}

std::vector<std::string> partition_labels(unsigned partitions) {
  std::vector<std::string> out;
  out.reserve(partitions);
  for (unsigned i = 0; i < partitions; ++i) out.push_back(label(i, partitions));
  return out;
}

std::string encode_part(std::string_view part) {
  std::string out;
  out.reserve(part.size() + 16);
  append_encoded(out, part);
  return out;
}

std::string decode_part(std::string_view token) {
  std::string out;
  out.reserve(token.size());
  for (std::size_t i = 0; i < token.size(); ++i) {
    const auto run = std::min(token.find('/', i), token.size());
    out.append(token.data() + i, run - i);
    i = run;
    if (i == token.size()) break;
    const int high = i + 2 < token.size() ? hex_value(token[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(token[i + 2]) : -1;
    if (low < 0) {
      out += '/';
      continue;
    }
    const auto unit = static_cast<unsigned>(high << 4 | low);
    if (unit < 0x80) {
      out += static_cast<char>(unit);
    } else {
      out += static_cast<char>(0xC0 | unit >> 6);
      out += static_cast<char>(0x80 | (unit & 0x3F));
    }
    i += 2;
  }
  return out;
}

std::string record_key::text() const {
  std::string out;
  out.reserve(partition.size() + collection.size() + did.size() + rkey.size() + 24);
  out += partition;
  out += '.';
  per_token(out, collection, [&](std::string_view piece) { append_encoded(out, piece); });
  out += '.';
  append_encoded(out, did);
  out += '.';
  append_encoded(out, rkey);
  return out;
}

record_key record_key::of(std::string_view did, std::string_view collection, std::string_view rkey,
                          unsigned partitions) {
  return {partition_of(did, partitions), std::string(collection), std::string(did), std::string(rkey)};
}

std::optional<record_key> record_key::parse(std::string_view key) {
  const auto first = key.find('.');
  const auto last = key.rfind('.');
  if (first == key.npos || first == last) return std::nullopt;
  const auto before = key.rfind('.', last - 1);
  if (before == first) return std::nullopt;
  record_key out;
  out.partition = key.substr(0, first);
  per_token(out.collection, key.substr(first + 1, before - first - 1),
            [&](std::string_view piece) { out.collection += decode_part(piece); });
  out.did = decode_part(key.substr(before + 1, last - before - 1));
  out.rkey = decode_part(key.substr(last + 1));
  return out;
}

}  // namespace recordkv::kv
