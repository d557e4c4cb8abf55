// What the decoders of the two wires share.
//
// Owns: their entry points, and what is done to informal text before anybody prints or sends it.
// Refuses to know: either wire.
#pragma once

#include "recordkv/atproto/event.hpp"

#include <string>
#include <string_view>

namespace recordkv::atproto {

/// event.hpp's decode_event for a firehose frame, and for JSON (Jetstream or marker).
result<repo_event> decode_frame(std::string_view bytes);
result<repo_event> decode_json(std::string_view text);

/// Text from the network that is only shown or put into a header: printable ASCII, at most `most` bytes. Anything else
/// in it becomes '?', so that no line break travels on.
std::string shown(std::string_view text, std::size_t most);

/// An error frame: "Name: message", with the code of its name (is_error_frame).
error stream_error(std::string_view name, std::string_view message);

/// Why a record has no JSON, or no CBOR.
record_flaw flaw_for(const error& why) noexcept;

/// Takes over what is valid of a path; bad_path unless both halves are. No subject is ever made of a bad one.
bool take_path(record_change& change, std::string_view collection, std::string_view rkey);

/// Adds a collection that an op touches to the glance, once, if it is one.
void note_collection(glance& g, std::string_view collection);

/// Keeps the DID if it can be stored; otherwise turns the glance into kind unknown and says why in its name.
void note_did(glance& g, std::string_view did);

}  // namespace recordkv::atproto
