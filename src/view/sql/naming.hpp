// The names of a build in a database: of its tables, and of the objects that belong to them.
//
// Owns: those names. Tables have the view's name, because people query them by it. Indexes, triggers and constraints
// have the build's number: their names are unique over all tables, and they stay when a table is renamed. Refuses to
// know: SQL.
#pragma once

#include "recordkv/view/plan.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view {

struct naming {
  std::string view;
  std::uint64_t number = 0;
  bool live = false;
  std::vector<std::string> counted;  ///< plan::count_by of the definition that it was built from

  naming(const plan& p, std::uint64_t build_number, bool is_live)
      : view(p.name), number(build_number), live(is_live), counted(p.count_by) {}
  naming(std::string view_name, std::uint64_t build_number, bool is_live, std::vector<std::string> counted_columns)
      : view(std::move(view_name)), number(build_number), live(is_live), counted(std::move(counted_columns)) {}

  std::string rows() const { return live ? view : view + "__next"; }
  std::string rejects() const { return rows() + "_rejects"; }
  std::string counter(std::string_view column) const { return rows() + "_by_" + std::string(column); }

  /// Every table of the build, `rows()` first.
  std::vector<std::string> tables() const;

  /// "recordkv_7_WHAT", for everything but tables.
  std::string part(std::string_view what) const;
  std::string part(std::string_view what, std::size_t at) const;
};

}  // namespace recordkv::view
