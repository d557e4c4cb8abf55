// `repo traces`: whether any content of an account is left.
//
// Owns: the order of the search, the output, the exit code.
// Does not know: how a place is searched (trace_search.hpp).
#pragma once

#include "commands.hpp"

namespace recordkv::cli {

int print_traces(const invocation& i, const config& cfg);

}  // namespace recordkv::cli
