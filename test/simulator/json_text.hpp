// The pieces of the data model in JSON: strings, bytes, links.
//
// Owns: how each is spelled.
// Does not know: records.
#pragma once

#include "names.hpp"

#include <string>
#include <string_view>

namespace recordkv::sim {

void append_quoted(std::string& json, std::string_view utf8);
void append_bytes_object(std::string& json, std::string_view octets);  ///< {"$bytes":"…"}
void append_link_object(std::string& json, const cid& target);         ///< {"$link":"…"}

}  // namespace recordkv::sim
