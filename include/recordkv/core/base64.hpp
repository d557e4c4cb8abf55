// Base64, standard alphabet.
//
// Owns: reading it with or without padding, and writing both forms.
// Does not know: line breaks, the URL alphabet.
#pragma once

#include <string>
#include <string_view>

namespace recordkv {

/// Without padding.
void append_base64(std::string& out, std::string_view bytes);

/// With padding, as HTTP headers want it.
std::string padded_base64(std::string_view bytes);

/// Appends the bytes. False: a character outside the alphabet, wrong padding, or stray bits in the last character.
bool append_from_base64(std::string& out, std::string_view text);

}  // namespace recordkv
