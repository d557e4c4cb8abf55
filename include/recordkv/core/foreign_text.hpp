// Text of other programs, made fit for a line that a person reads, or for a URL.
//
// Owns: which characters stay. Does not know: where the text comes from. Pure.
#pragma once

#include <string>
#include <string_view>

namespace recordkv {

/// Printable ASCII, at most `max` bytes; every other byte becomes a question mark.
std::string printable(std::string_view text, std::size_t max);

/// A value as it may stand in the query of a URL: everything but unreserved characters, ':' and '*' as %XX.
std::string query_text(std::string_view value);

}  // namespace recordkv
