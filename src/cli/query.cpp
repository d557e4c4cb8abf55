// `query` and `likes`: ask a view from the command line.
//
// Owns: the arguments and the exit code. Does not know: which database answers (running_index.hpp), and how rows are
// printed (answer_text.hpp).
#include "answer_text.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "running_index.hpp"

#include "recordkv/atproto/syntax.hpp"
#include "recordkv/view/store.hpp"

#include <iostream>

namespace recordkv::cli {
namespace {

int warn_of_limit(const view::answer& rows, std::size_t limit) {
  if (rows.rows.size() == limit) write_error("recordkv: only the first {} rows; use --limit\n", limit);
  return rows.rows.empty() ? no : done;
}

int ask_likes(const invocation& i, const std::string& database, const std::string& column, const std::string& value) {
  auto rows = view::query(database, "likes", {{column, value}}, i.limit);
  if (!rows) return complain(rows.error());
  for (const auto& r : rows->rows) {
    const auto at = [&](std::string_view name) { return text_at(*rows, r, name); };
    if (i.json)
      write_out("{}\n", json_of_row(*rows, r));
    else if (column == "subject")
      write_out("{}  at://{}/{}/{}\n", at("did"), at("did"), at("collection"), at("rkey"));
    else
      write_out("{}\n", at("subject"));
  }
  return warn_of_limit(*rows, i.limit);
}

}  // namespace

int query(const invocation& i, const config& cfg) {
  std::vector<view::condition> where;
  for (const auto& w : i.where) {
    const auto equals = w.find('=');
    if (equals == w.npos || equals == 0)
      return complain(fail(errc::bad_config, "query --where {}: write --where COLUMN=VALUE", w));
    where.push_back({w.substr(0, equals), w.substr(equals + 1)});
  }
  auto rows = view::query(find_database(cfg, i.view), i.view, where, i.limit);
  if (!rows) return complain(rows.error());
  if (i.json)
    for (const auto& r : rows->rows) write_out("{}\n", json_of_row(*rows, r));
  else if (!rows->rows.empty())
    write_out("{}", table_of(*rows));
  return warn_of_limit(*rows, i.limit);
}

int likes(const invocation& i, const config& cfg) {
  if (!i.by.empty()) {
    if (!atproto::is_did(i.by))
      return complain(fail(errc::bad_config, "likes --by wants a DID; \"{}\" is not one", i.by));
    return ask_likes(i, find_database(cfg, "likes"), "did", i.by);
  }
  if (!i.of.empty()) {
    if (!atproto::parse_at_uri(i.of))
      return complain(fail(errc::bad_config, "likes --of wants an AT-URI; \"{}\" is not one", i.of));
    return ask_likes(i, find_database(cfg, "likes"), "subject", i.of);
  }
  const auto database = find_database(cfg, "likes");
  int answer = no;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.empty()) continue;
    if (!line.starts_with("at://") && !line.starts_with("did:"))
      return complain(
          fail(errc::bad_config, "likes: standard input wants DIDs or AT-URIs, one a line; \"{}\" is neither", line));
    const int one = ask_likes(i, database, line.starts_with("at://") ? "subject" : "did", line);
    if (one > no) return one;
    if (one == done) answer = done;
    if (!flush_output()) break;  // a program that asks line by line gets each answer at once
  }
  return answer;
}

}  // namespace recordkv::cli
