// View files by themselves: their check, and a definition to start from. Neither needs NATS.
//
// Owns: which file a view's definition is taken from. Does not know: builds and rows (view_command.cpp).
#pragma once

#include "commands.hpp"

namespace recordkv::cli {

/// `view check [FILE…]`.
int check_views(const invocation& i, const config& cfg);

/// `view show NAME --toml`: from the file of index.views; otherwise the shipped one; otherwise that of the running
/// index.
int print_definition(const invocation& i, const config& cfg);

}  // namespace recordkv::cli
