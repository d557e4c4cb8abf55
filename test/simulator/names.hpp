// How the simulated network writes names: DIDs, TIDs, CIDs, times, and the keys of a record store.
//
// Owns: its own reading of the specifications, so that it can testify about recordkv's.
// Does not know: recordkv's code for the same things; nothing here may ever include it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::sim {

/// "did:plc:" and 24 characters: always 32.
std::string did_of(std::uint64_t seed, std::uint32_t account);

/// 13 characters, in the order of the numbers.
void append_tid(std::string& out, std::uint64_t tid);
inline std::string tid_text(std::uint64_t tid) {
  std::string out;
  append_tid(out, tid);
  return out;
}

using digest = std::array<unsigned char, 32>;
digest sha256(std::string_view bytes);

/// A SHA-256 CID, version 1.
struct cid {
  static constexpr char dag_cbor = 0x71;
  static constexpr char raw = 0x55;

  digest hash{};
  char codec = dag_cbor;

  void append_text(std::string& out) const;    ///< 59 characters, "bafyrei…" or "bafkrei…"
  void append_binary(std::string& out) const;  ///< 36 bytes
  static cid of(std::string_view bytes, char codec = dag_cbor) { return {.hash = sha256(bytes), .codec = codec}; }
  friend bool operator==(const cid&, const cid&) = default;
};

/// 2026-01-01T00:00:00.000Z, with three or six digits.
void append_time(std::string& out, std::uint64_t unix_us, int digits);

/// The store's key, from the nats-record-kv contract: {partition}.{collection}.{enc(did)}.{enc(rkey)}.
std::string partition_of(std::string_view did, unsigned partitions);
void append_encoded(std::string& out, std::string_view ascii);
std::string key_of(std::string_view did, std::string_view collection, std::string_view rkey, unsigned partitions);

}  // namespace recordkv::sim
