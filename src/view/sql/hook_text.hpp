// A hook's SQL, compiled for one table of one build.
//
// Owns: the language of `on_put` and `on_delete`: statements separated by ";", {table}, and the named parameters.
// Does not know: SQL beyond its strings and comments, and when a hook runs.
//
// Both hooks run in the transaction of the rows, after these were written or erased. on_put runs once for each record
// with rows; on_delete once for each key that has lost its rows.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/view/store.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view {

enum class hook_parameter { did, collection, rkey, uri, cid, rev, time, record };

struct hook_statement {
  std::string sql;                         ///< parameters as $1, $2 …
  std::vector<hook_parameter> parameters;  ///< what $1, $2 … stand for
};

/// `text` with {table} replaced by the quoted `table`, and each :name by a $N. Strings, quoted names, comments and "::"
/// stay as they are. Empty statements are skipped. errc::bad_config: an unknown parameter.
result<std::vector<hook_statement>> compile_hook(std::string_view text, std::string_view table);

/// Both hooks of a plan, for the tables of a build. errc::bad_config with file and key.
struct hook_statements {
  std::vector<hook_statement> on_put, on_delete;
};
result<hook_statements> compile_hooks(const plan& p, std::string_view table);
/// `which`: "on_put" or "on_delete".
error hook_mistake(const plan& p, std::string_view which, std::string_view why);

/// The value of a parameter; NULL: the change does not have it.
std::optional<std::string> hook_value(hook_parameter p, const change& c);

/// "at://did/collection/rkey"; of an account "at://did"
std::string at_uri_of(const change& c);

}  // namespace recordkv::view
