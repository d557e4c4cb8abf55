#include "repo_diff.hpp"

#include "recordkv/atproto/cid.hpp"

#include <compare>

namespace recordkv::stages {
namespace {

std::string path_of(const kv::stored_key& k) { return k.collection + "/" + k.rkey; }

// As path_of(k) <=> path, without making that text for each of many keys.
std::strong_ordering compare_path(const kv::stored_key& k, std::string_view path) {
  if (const int c = k.collection.compare(path.substr(0, k.collection.size())); c != 0) return c <=> 0;
  path.remove_prefix(k.collection.size());
  if (path.empty()) return std::strong_ordering::greater;
  if (path.front() != '/') return '/' <=> path.front();
  return k.rkey.compare(path.substr(1)) <=> 0;
}

repo_diff::put put_of(std::size_t n, const atproto::exported_record& r, std::string cid, bool replaces) {
  const auto slash = r.path.find('/');
  return {.record = n,
          .collection = r.path.substr(0, slash),
          .rkey = r.path.substr(slash + 1),
          .cid = std::move(cid),
          .replaces = replaces};
}

}  // namespace

repo_diff compare(const std::vector<atproto::exported_record>& records, const std::vector<kv::stored_key>& keys,
                  const std::function<bool(const std::string& collection)>& wanted,
                  const std::unordered_set<std::string>& newer) {
  repo_diff out;
  auto key = keys.begin();
  const auto delete_key = [&] {
    if (!newer.contains(path_of(*key))) out.deletes.push_back(*key);
    ++key;
  };
  std::string collection;  // of the record before: neighbours mostly share it
  bool is_wanted = false;
  for (std::size_t n = 0; n < records.size(); ++n) {
    const auto& r = records[n];
    const auto in = std::string_view(r.path).substr(0, r.path.find('/'));
    if (in != collection || n == 0) is_wanted = wanted(collection = in);
    if (!is_wanted) continue;
    auto order = std::strong_ordering::greater;  // of the first key that is left
    while (key != keys.end() && (order = compare_path(*key, r.path)) < 0) delete_key();
    const bool stored = key != keys.end() && order == 0;
    auto cid = atproto::cid_text(r.cid);
    if (stored && key->cid == cid) {
      ++out.unchanged;
    } else if (!newer.contains(r.path)) {
      out.puts.push_back(put_of(n, r, std::move(cid), stored));
    }
    if (stored) ++key;
  }
  while (key != keys.end()) delete_key();
  return out;
}

}  // namespace recordkv::stages
