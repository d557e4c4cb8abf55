// What the decoders of the two wires share.
//
// Owns: their entry points, and the cleaning of informal text before it is printed or sent.
// Does not know: either wire.
#pragma once

#include "recordkv/atproto/event.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace recordkv::atproto {

/// Whether repo_event::proof is to be filled. It costs a walk down the tree per op.
enum class with_proof : bool { no, yes };

/// event.hpp's decode_event for a firehose frame, and for JSON (Jetstream or marker), which has no proof.
result<repo_event> decode_frame(std::string_view bytes, with_proof want);
result<repo_event> decode_json(std::string_view text);

/// decode_event(), and decode_provable() of verify.hpp.
result<repo_event> decode_payload(std::string_view payload, with_proof want);

/// An error frame: "Name: message", with the code of its name (is_error_frame).
error stream_error(std::string_view name, std::string_view message);

/// "create", "update" or "delete"; nullopt for others.
std::optional<action> action_named(std::string_view word) noexcept;

/// Takes over the valid parts of a path; bad_path unless both are valid. No subject is made of a bad path.
bool take_path(record_change& change, std::string_view collection, std::string_view rkey);

/// Adds a collection that an op touches to the summary, once, if it is one.
void note_collection(frame_summary& g, std::string_view collection);

/// Keeps the DID if it can be stored; otherwise turns the summary into kind unknown and says why in its name.
void note_did(frame_summary& g, std::string_view did);

}  // namespace recordkv::atproto
