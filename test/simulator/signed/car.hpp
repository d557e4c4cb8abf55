// CAR version 1, written.
//
// Owns: the header with one root, sections.
// Does not know: what blocks say, and whether any is missing.
#pragma once

#include "../names.hpp"

#include <string>
#include <string_view>

namespace recordkv::sim {

/// The bytes that a CAR with this root begins with.
std::string car_header(const cid& root);
void append_section(std::string& car, const cid& name, std::string_view bytes);

}  // namespace recordkv::sim
