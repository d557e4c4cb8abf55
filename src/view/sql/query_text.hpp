// A command's question as SQL, the same for both databases.
//
// Owns: which tables and columns may be queried, their types by the stored definition, the check of values, and the
// SELECT. Does not know: connections.
#pragma once

#include "sql/statements.hpp"

#include "recordkv/view/store.hpp"

#include <string>
#include <vector>

namespace recordkv::view {

/// A live build, from recordkv_builds.
struct live_view {
  std::string name, definition;
};

struct question {
  std::string table;
  std::vector<answer::heading> columns;
  std::vector<cell> values;  ///< of the conditions, of their columns' types
  std::string sql;           ///< parameters: the values in order, then the limit
};

/// `place`: the database, for messages. Timestamps and JSON of PostgreSQL are selected as text, in the form of `cell`.
result<question> compile_question(dialect d, const std::string& place, const std::vector<live_view>& views,
                                  const std::string& table, const std::vector<condition>& where);

}  // namespace recordkv::view
