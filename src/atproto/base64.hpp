// Base64, standard alphabet.
//
// Owns: the bytes form inside JSON: written without padding, read with or without.
// Refuses to know: line breaks, the URL alphabet.
#pragma once

#include <string>
#include <string_view>

namespace recordkv::atproto {

void append_base64(std::string& out, std::string_view bytes);

/// Appends the bytes; false on a character outside the alphabet, wrong padding, or stray bits in the last character.
bool append_from_base64(std::string& out, std::string_view text);

}  // namespace recordkv::atproto
