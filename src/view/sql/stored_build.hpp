// A build as recordkv_builds has it, whichever the database.
//
// Owns: which of several builds of a view count: those whose tables are all there. Refuses to know: how they are read.
#pragma once

#include "sql/naming.hpp"

#include "recordkv/view/store.hpp"

#include <string>
#include <vector>

namespace recordkv::view {

struct stored_build {
  std::string view;
  build of;
  std::vector<std::string> counted;
  std::vector<std::string> ready;  ///< partitions that have caught up
  bool wanted = false;
  bool whole = true;  ///< its tables are all there

  naming names() const { return {view, of.number, of.live, counted}; }
};
using stored_builds = std::vector<stored_build>;

/// The live build, or the next one, if there is one and it is whole. Points into `all`.
const stored_build* find(const stored_builds& all, bool live);

/// What store::look() says of them.
builds builds_in(const stored_builds& all);

}  // namespace recordkv::view
