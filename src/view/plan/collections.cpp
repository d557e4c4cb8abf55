#include "plan/collections.hpp"

#include "plan/sources.hpp"
#include "recordkv/atproto/syntax.hpp"

#include <string>
#include <string_view>

namespace recordkv::view {
namespace {

constexpr std::string_view like_collections = R"(collections = [ "app.bsky.feed.post", "app.bsky.graph.*" ])";

/// An NSID, the beginning of one with ".*", or "*".
bool is_pattern(std::string_view s) {
  if (s == "*" || atproto::is_nsid(s)) return true;
  return s.ends_with(".*") && atproto::is_nsid(fmt::format("{}.any.name", s.substr(0, s.size() - 2)));
}

/// Whether some collection matches both. NATS refuses filters if one of them covers another.
bool overlap(std::string_view a, std::string_view b) {
  const auto covers = [](std::string_view wide, std::string_view narrow) {
    return wide.ends_with('*') && narrow.starts_with(wide.substr(0, wide.size() - 1));
  };
  return a == b || covers(a, b) || covers(b, a);
}

void add_collection(plan& p, fields& t, std::string_view key, std::string pattern, const toml::source_position& at) {
  if (!is_pattern(pattern))
    t.wrong_at(at, key,
               fmt::format("\"{}\" is no collection; write one whole, such as \"app.bsky.feed.like\", or "
                           "\"app.bsky.graph.*\" for all that begin so, or \"*\"",
                           pattern));
  for (const auto& other : p.collections)
    if (overlap(other, pattern))
      t.wrong_at(at, key, fmt::format("\"{}\" and \"{}\" overlap; remove the narrower one", other, pattern));
  p.collections.push_back(std::move(pattern));
}

/// What the rows are of: `source`, or else the records of `collection` or `collections`.
void read_source(plan& p, fields& t) {
  const auto name = t.text("source", "accounts");
  if (!name) return;
  p.rows_of = source::accounts;
  if (*name != traits_of(p.rows_of).name)
    t.wrong("source",
            "\"{}\" is unknown; write source = \"accounts\", or collection = \"app.bsky.feed.like\" for records",
            *name);
  for (const std::string_view key : {"collection", "collections"})
    if (t.has(key)) t.wrong(key, "stands beside source; a view is of accounts or of records, so remove one of them");
}

}  // namespace

void read_collections(plan& p, fields& t) {
  if (t.has("source")) return read_source(p, t);
  if (t.has("collection") && t.has("collections"))
    t.wrong("collections", "stands beside collection; remove one of them");
  else if (!t.has("collections") && !t.has("collection"))
    t.wrong("collection", "is missing; write collection = \"app.bsky.feed.like\"");
  if (const auto* const one = t.get("collection"))
    if (auto text = t.text("collection", "app.bsky.feed.like"))
      add_collection(p, t, "collection", std::move(*text), one->source().begin);
  for (auto& [text, at] : t.texts("collections", like_collections))
    add_collection(p, t, "collections", std::move(text), at);
  if (p.collections.size() > 100) t.wrong("collections", "more than 100; take a wider pattern and a where");
}

}  // namespace recordkv::view
