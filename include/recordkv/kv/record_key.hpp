// The store's keys: {partition}.{...collection}.{enc(did)}.{enc(rkey)}
//
//   $KV.record . 1 . app.bsky.feed.like . did/3Aplc/3Al3rouwludahu3ui3bt66mfvj . 3k5nobkf2w72g
//                |   collection keeps    enc(did)                               enc(rkey)
//                |   its dots
//                partition of the DID
//
// Owns: the key codec and the partition function, bit for bit those of nats-record-kv.
// Does not know: NATS, and whether a part is valid. Callers check the syntax first (enc is injective only on valid
// parts).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

/// MurmurHash3 x86 32-bit, seed 0.
std::uint32_t murmur3(std::string_view s) noexcept;

/// 16: the first non-zero hex digit of murmur3 ("0" below 0x10), as in the reference. Any other n: hash mod n in
/// lower-case hex, zero-padded to the width of n − 1.
std::string partition_of(std::string_view did, unsigned partitions = 16);

/// Every label partition_of can return, in order.
std::vector<std::string> partition_labels(unsigned partitions = 16);

/// Escapes one part: [A-Za-z0-9_=/-] pass, any other UTF-16 code unit becomes '/' and upper-case hex.
std::string encode_part(std::string_view part);

/// Undoes encode_part: '/' and two of [0-9A-F] become that code unit (as UTF-8), everything else stays.
std::string decode_part(std::string_view token);

struct record_key {
  std::string partition;
  std::string collection;
  std::string did;
  std::string rkey;

  /// The key without the "$KV.{bucket}." prefix.
  std::string text() const;
  static record_key of(std::string_view did, std::string_view collection, std::string_view rkey,
                       unsigned partitions = 16);
  /// From a key without prefix; nullopt when it has fewer than 4 tokens.
  static std::optional<record_key> parse(std::string_view key);
};

}  // namespace recordkv::kv
