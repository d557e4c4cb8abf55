// What a command's question means, the same for both databases.
//
// Owns: which tables may be asked and by which columns, their types by the view's stored definition, the check of
// values, and the SELECT. Refuses to know: connections.
#pragma once

#include "sql/statements.hpp"

#include "recordkv/view/store.hpp"

#include <string>
#include <vector>

namespace recordkv::view {

/// A live build, as recordkv_builds tells it.
struct live_view {
  std::string name, definition;
};

struct question {
  std::string table;
  std::vector<answer::heading> columns;
  std::vector<cell> values;  ///< of the conditions, of their columns' types
  std::string sql;           ///< parameters: the values in order, then the limit
};

/// `place`: the database, for messages. PostgreSQL's timestamps and JSON are asked for as text, in the form of `cell`.
result<question> compile_question(dialect d, const std::string& place, const std::vector<live_view>& views,
                                  const std::string& table, const std::vector<condition>& where);

}  // namespace recordkv::view
