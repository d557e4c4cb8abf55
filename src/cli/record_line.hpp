// One record as one line of JSON, whatever stands in the store.
//
// Owns: the members of the line, and that it is JSON and one line: the store may have been written by anybody.
// Refuses to know: where lines go.
#pragma once

#include "recordkv/indexer.hpp"

#include <string>

namespace recordkv::cli {

/// Appends {"uri":…,"cid":…,"rev":…,"time":…,"op":…,"seq":…,"record":…} and a newline. A delete has no "record"; what
/// is no JSON has the record null.
void append_line(std::string& out, const record& r);

}  // namespace recordkv::cli
