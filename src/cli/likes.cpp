// `likes`: the likes view, asked from the command line.
#include "commands.hpp"

#include "recordkv/atproto/json.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/view/store.hpp"

#include <cstdio>
#include <iostream>

namespace recordkv::cli {
namespace {

std::string cell(const view::row& r, std::string_view column) {
  for (const auto& [name, value] : r)
    if (name == column) return value;
  return {};
}

void print_json(const view::row& r) {
  std::string out = "{";
  for (const auto& [name, value] : r) {
    if (out.size() > 1) out += ',';
    atproto::append_quoted(out, name);
    out += ':';
    atproto::append_quoted(out, value);
  }
  fmt::print("{}}}\n", out);
}

int ask(const invocation& i, const config& cfg, const std::string& column, const std::string& value) {
  auto rows = view::query(cfg.sqlite_path(), "likes", {{column, value}}, i.limit);
  if (!rows) return complain(rows.error());
  for (const auto& r : *rows) {
    if (i.json)
      print_json(r);
    else if (column == "subject")
      fmt::print("{}  at://{}/{}/{}\n", cell(r, "did"), cell(r, "did"), cell(r, "collection"), cell(r, "rkey"));
    else
      fmt::print("{}\n", cell(r, "subject"));
  }
  if (rows->size() == i.limit) fmt::print(stderr, "recordkv: only the first {} rows; use --limit\n", i.limit);
  return rows->empty() ? no : done;
}

}  // namespace

int likes(const invocation& i, const config& cfg) {
  if (!i.by.empty()) {
    if (!atproto::is_did(i.by)) return complain(fail(errc::bad_config, "likes --by wants a DID, \"{}\" is none", i.by));
    return ask(i, cfg, "did", i.by);
  }
  if (!i.of.empty()) {
    if (!atproto::parse_at_uri(i.of))
      return complain(fail(errc::bad_config, "likes --of wants an AT-URI, \"{}\" is none", i.of));
    return ask(i, cfg, "subject", i.of);
  }
  int answer = no;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.empty()) continue;
    if (!line.starts_with("at://") && !line.starts_with("did:"))
      return complain(
          fail(errc::bad_config, "likes: standard input wants DIDs or AT-URIs, one a line; \"{}\" is neither", line));
    const int one = ask(i, cfg, line.starts_with("at://") ? "subject" : "did", line);
    if (one > no) return one;
    if (one == done) answer = done;
  }
  return answer;
}

}  // namespace recordkv::cli
