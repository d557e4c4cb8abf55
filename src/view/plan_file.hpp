// A view file as read: its plans, and the examples that stand beside them.
//
// Owns: what a `[[view.test]]` says.
// Refuses to know: how a row is extracted.
#pragma once

#include "recordkv/view/plan.hpp"

#include <map>
#include <string>
#include <vector>

namespace recordkv::view {

/// One `[[view.test]]`: a record and the row that it must give, where a column left out means NULL.
struct example {
  std::string record;
  bool rejected = false;
  std::map<std::string, cell, std::less<>> row;
  unsigned line = 0;
};

struct definition {
  plan of;
  std::vector<example> examples;
};

/// All of a file, checked. A mistake is errc::bad_config; the one that stands first in the file is told.
result<std::vector<definition>> read_definitions(const std::string& file);

}  // namespace recordkv::view
