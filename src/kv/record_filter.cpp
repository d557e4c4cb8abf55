#include "recordkv/kv/record_filter.hpp"

#include "recordkv/atproto/syntax.hpp"

#include <algorithm>

namespace recordkv::kv {
namespace {

bool is_prefix(std::string_view pattern) { return pattern.empty() || pattern.back() == '.'; }

bool covers(std::string_view pattern, std::string_view other) {
  return is_prefix(pattern) ? other.starts_with(pattern) : other == pattern;
}

// "app.bsky.graph.*" becomes "app.bsky.graph."; "*" becomes "".
result<std::string> pattern_of(const std::string& word) {
  if (word == "*") return std::string();
  if (atproto::is_nsid(word)) return word;
  // A prefix is valid if an NSID can begin with it.
  if (word.ends_with(".*") && atproto::is_nsid(word.substr(0, word.size() - 1) + "a.a"))
    return word.substr(0, word.size() - 1);
  return fail(
      errc::bad_config,
      "\"{}\" is no collection; write an NSID (app.bsky.feed.like), the beginning of one (app.bsky.graph.*), or "
      "\"*\" for all",
      word);
}

}  // namespace

result<record_filter> record_filter::parse(std::vector<std::string> collections, std::string did,
                                           std::string_view assigned, unsigned partitions) {
  record_filter out;
  if (collections.empty()) return fail(errc::bad_config, "no collection is named; write \"*\" for all");
  if (collections.size() > max_collections)
    return fail(errc::bad_config, "{} collections are named, {} are allowed; use a prefix (app.bsky.*)",
                collections.size(), max_collections);
  std::vector<std::string> patterns;
  for (const auto& word : collections) {
    auto pattern = pattern_of(word);
    if (!pattern) return pattern.error();
    patterns.push_back(std::move(*pattern));
  }
  std::ranges::sort(patterns);
  patterns.erase(std::ranges::unique(patterns).begin(), patterns.end());
  for (const auto& p : patterns)
    if (std::ranges::none_of(patterns, [&](const auto& other) { return other != p && covers(other, p); }))
      out.collections_.push_back(p);
  if (!did.empty() && !atproto::is_did(did)) return fail(errc::bad_config, "\"{}\" is no DID", did);
  auto set = partition_set::parse(assigned, partitions);
  if (!set) return set.error();
  if (!set->all()) out.labels_ = set->labels();
  if (!did.empty()) out.labels_ = {partition_of(did, partitions)};
  out.did_ = std::move(did);
  if (const auto n = out.collections_.size() * std::max<std::size_t>(out.labels_.size(), 1); n > max_subjects)
    return fail(errc::bad_config, "collections and partitions make {} filters, {} are allowed; name fewer", n,
                max_subjects);
  return out;
}

std::vector<std::string> record_filter::subjects(std::string_view bucket) const {
  std::vector<std::string> out;
  if (labels_.empty() && collections_.front().empty()) return out;
  const auto account = did_.empty() ? std::string("*") : encode_part(did_);
  const auto add = [&](std::string_view label) {
    for (const auto& c : collections_)
      out.push_back(is_prefix(c) ? fmt::format("$KV.{}.{}.{}>", bucket, label, c)
                                 : fmt::format("$KV.{}.{}.{}.{}.*", bucket, label, c, account));
  };
  if (labels_.empty()) add("*");
  for (const auto& label : labels_) add(label);
  return out;
}

bool record_filter::wants(const record_key& key) const {
  if (!did_.empty() && key.did != did_) return false;
  if (!labels_.empty() && std::ranges::find(labels_, key.partition) == labels_.end()) return false;
  return std::ranges::any_of(collections_, [&](const auto& c) { return covers(c, key.collection); });
}

}  // namespace recordkv::kv
