// Writing DAG-CBOR: heads, strings, integers and links.
//
// Owns: the shortest form of a head, the form of a link.
// Does not know: documents. Their writers put the keys in order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::atproto::cbor {

enum class major : unsigned char { positive = 0, negative = 1, bytes = 2, text = 3, array = 4, map = 5, tag = 6 };

void append_head(std::string& out, major m, std::uint64_t n);
void append_string(std::string& out, major m, std::string_view s);  ///< bytes or text
void append_integer(std::string& out, std::int64_t n);
void append_link(std::string& out, std::string_view cid);  ///< tag 42 and a binary CID
inline void append_null(std::string& out) { out += '\xF6'; }

}  // namespace recordkv::atproto::cbor
