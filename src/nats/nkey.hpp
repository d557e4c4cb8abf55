// The text form of a user NKey: base32 of prefix, key and checksum.
//
// Owns: the public key that belongs to a seed. Refuses to know: files, signing, connections.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::nats {

/// The public key ("U…") of a user's seed ("SU…"). Empty: that is no user's seed, or it is damaged.
std::string public_nkey(std::string_view seed);

}  // namespace recordkv::nats
