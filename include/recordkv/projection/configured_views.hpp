// Makes the plans of the configured views.
//
// Owns: which files index.views names, on disk or compiled in, and that no table is wanted twice.
// Does not know: the content of a view file (view/plan.hpp).
#pragma once

#include "recordkv/config.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/view/plan.hpp"

#include <string>
#include <vector>

namespace recordkv::projection {

/// The files that index.views names, each once; "builtin:NAME" is a file that ships with the program.
/// errc::bad_config: a pattern that matches no file.
result<std::vector<std::string>> view_files(const config& cfg);

/// The views of a file, or of "builtin:NAME".
result<std::vector<view::plan>> plans_of_file(const std::string& name);

/// The views of all files of index.views. errc::bad_config: a file has a fault, or two views want the same table; the
/// text names file and line.
result<std::vector<view::plan>> configured_views(const config& cfg);

}  // namespace recordkv::projection
