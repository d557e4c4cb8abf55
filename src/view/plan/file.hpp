// A view file as it was read: its plans, and their examples.
//
// Owns: what a `[[view.test]]` says.
// Does not know: how a row is extracted.
#pragma once

#include "plan/reader.hpp"
#include "recordkv/view/plan.hpp"

#include <map>
#include <string>
#include <vector>

namespace recordkv::view {

/// One `[[view.test]]`: a record and the rows that it must give.
struct example {
  using row = std::map<std::string, cell, std::less<>>;  ///< by column; a missing column means NULL
  std::string record;
  std::string did, collection, rkey, cid, rev, time;
  bool rejected = false;  ///< the record must be rejected
  std::vector<row> rows;  ///< none: `where` must not want it
  unsigned line = 0;
};

struct definition {
  plan of;
  std::vector<example> examples;
};

/// Adds the tests of a view whose columns are known.
void read_examples(definition& d, fields view);

/// All of a file, checked. errc::bad_config: the first mistake in the file.
result<std::vector<definition>> read_definitions(const std::string& file);
result<std::vector<definition>> definitions_in_text(std::string_view text, const std::string& name);

}  // namespace recordkv::view
