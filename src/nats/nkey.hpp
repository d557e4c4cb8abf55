// The text form of a user NKey: base32 of prefix, key and checksum.
//
// Owns: the public key that belongs to a seed. Does not know: files, signing, connections.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::nats {

/// The public key ("U…") of a user's seed ("SU…"). Empty if the seed is damaged or not a user's.
std::string public_nkey(std::string_view seed);

}  // namespace recordkv::nats
