// View files as such: their check, and a definition to start from. Neither needs NATS.
//
// Owns: which file a view's definition is taken from. Refuses to know: builds and rows (view_command.cpp).
#pragma once

#include "commands.hpp"

namespace recordkv::cli {

/// `view check [FILE…]`.
int check_views(const invocation& i, const config& cfg);

/// `view show NAME --toml`: as the file of index.views has it, else the one that ships, else as the running index has
/// it.
int print_definition(const invocation& i, const config& cfg);

}  // namespace recordkv::cli
