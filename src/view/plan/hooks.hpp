// The SQL of `on_put` and `on_delete`, as far as it can be judged without a database.
//
// Owns: which characters are allowed, so that both databases read the SQL alike and a next build stays separate.
// Does not know: SQL's grammar. A database finds other mistakes when it prepares the statement.
#pragma once

#include "recordkv/view/plan.hpp"

#include <string>
#include <string_view>

namespace recordkv::view {

struct hook_check {
  std::string sql;      ///< without comments, which might hold what looks like a parameter
  std::string mistake;  ///< what is wrong and what to write; empty when nothing is
};

/// `view`: the name that must not be written out. Parameters are the facts of the source (sources.hpp) and :record.
hook_check check_hook(std::string_view sql, std::string_view view, source of = source::records);

}  // namespace recordkv::view
