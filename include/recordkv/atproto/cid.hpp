// Content identifiers, binary and as text.
//
// Owns: the shape of a CIDv1, its base32 text, SHA-256 of a block.
// Does not know: what a block holds, and multibases other than base32 lower case.
// Sources: multiformats CID specification; atproto.com data model (the two blessed forms).
#pragma once

#include "recordkv/core/result.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace recordkv::atproto {

inline constexpr std::size_t max_cid = 100;        ///< bytes of a binary CID
inline constexpr std::size_t block_cid_size = 36;  ///< version, codec, hash, length, 32 bytes of digest
enum class codec : unsigned char { raw = 0x55, dag_cbor = 0x71 };

using digest = std::array<char, 32>;
digest sha256(std::string_view bytes);

/// Whether these are the bytes of a CIDv1: version, codec, hash function, and a digest of the length it says. Any
/// codec and hash function, because a record may link to anything. No CIDv0, no empty digest.
bool is_cid(std::string_view binary) noexcept;

/// Whether it is one of the two forms that repositories are made of: CIDv1, dag-cbor or raw, SHA-256.
bool is_block_cid(std::string_view binary) noexcept;

/// Whether a block CID names exactly these bytes. False for any other form.
bool names(std::string_view binary_cid, std::string_view block);

/// "b" and base32: 59 characters ("bafyrei…", "bafkrei…") for a block CID.
std::string cid_text(std::string_view binary);

/// The binary form of cid_text's result. errc::malformed: not base32 lower case, stray bits, or not a CIDv1.
result<std::string> cid_from_text(std::string_view text);

/// The CID of a block, binary and as text.
std::string cid_of(std::string_view block, codec c = codec::dag_cbor);
std::string cid_text_of(std::string_view block, codec c = codec::dag_cbor);

}  // namespace recordkv::atproto
