#include "sql/account_rows_text.hpp"

#include "sql/naming.hpp"
#include "sql/statements.hpp"

#include <fmt/format.h>

namespace recordkv::view {

std::string list_builds() { return "SELECT number, view, live FROM recordkv_builds ORDER BY view, live DESC, number"; }

std::vector<account_rows> content_tables(const std::string& view, std::uint64_t build, bool live) {
  const naming n(view, build, live, {});
  account_rows rows{.view = view, .build = build, .live = live, .rejects = false, .table = n.rows(), .example = {}};
  account_rows rejects{
      .view = view, .build = build, .live = live, .rejects = true, .table = n.rejects(), .example = {}};
  return {std::move(rows), std::move(rejects)};
}

std::string count_of_account(const account_rows& in) {
  if (in.rejects)
    return fmt::format("SELECT count(*), min(uri) FROM {} WHERE uri >= $1 AND uri < $2", identifier(in.table));
  return fmt::format("SELECT count(*), min(collection || '/' || rkey) FROM {} WHERE did >= $1 AND did <= $2",
                     identifier(in.table));
}

bounds bounds_of(const account_rows& in, const std::string& did) {
  static_assert('/' + 1 == '0');
  if (in.rejects) return {"at://" + did + "/", "at://" + did + "0"};
  return {did, did};
}

}  // namespace recordkv::view
