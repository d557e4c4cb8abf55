// What a view file says of the rows' source: `source`, or `collection` and `collections`.
//
// Owns: the notation of collections, and which of the keys go together.
// Does not know: the rest of the file.
#pragma once

#include "plan/reader.hpp"
#include "recordkv/view/plan.hpp"

namespace recordkv::view {

/// Sets plan::rows_of and plan::collections.
void read_collections(plan& p, fields& t);

}  // namespace recordkv::view
