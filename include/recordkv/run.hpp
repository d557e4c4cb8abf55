// The whole program as a function, for `recordkv` and for programs with their own stages.
//
// Owns: the entry point. Does not know: everything behind it.
#pragma once

#include "recordkv/stage.hpp"

#include <span>

namespace recordkv {

/// What main() returns: 0 done; 1 the answer is "no"; 2 wrong usage or configuration; 3 NATS or network unreachable.
/// `extra` stages follow the built-in ones and are chosen by name as well.
int run(int argc, char** argv, std::span<const stage_entry> extra = {});

}  // namespace recordkv
