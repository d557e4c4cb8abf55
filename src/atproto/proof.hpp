// What a decoded message proves, before the account's key is known.
//
// Owns: the bytes that were signed, and the judgement of a commit's tree.
// Does not know: keys, stored state, and how a message is read.
#pragma once

#include "recordkv/atproto/car.hpp"
#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/frame.hpp"

#include <string_view>

namespace recordkv::atproto {

/// The signature of a commit block, and the digest that it signs. `commit` has been read from `block`.
event_proof signature_proof(std::string_view block, const signed_commit& commit);

/// Adds what the tree with root `data` says of the message's ops.
void add_tree_proof(event_proof& proof, const commit_view& message, const car& blocks, std::string_view data);

}  // namespace recordkv::atproto
