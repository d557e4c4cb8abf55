// One record as one line of JSON, whatever the store contains.
//
// Owns: the members of the line, and that it is JSON on one line: any program may have written into the store.
// Does not know: where lines go.
#pragma once

#include "recordkv/indexer.hpp"

#include <string>

namespace recordkv::cli {

/// Appends {"uri":…,"cid":…,"rev":…,"time":…,"op":…,"seq":…,"record":…} and a newline. A delete has no "record"; a
/// value that is not JSON has the record null.
void append_line(std::string& out, const record& r);

}  // namespace recordkv::cli
