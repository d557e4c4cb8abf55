// A second way to make trees: from the sorted keys down, by the specification, with nodes written as JSON.
//
// Owns: the whole tree of given leaves, single nodes with any fault, CARs of blocks, keys of a wanted height.
// Does not know: the code that is tested, but for SHA-256 and the CBOR of JSON.
#pragma once

#include "atproto_support.hpp"
#include "recordkv/atproto/car.hpp"
#include "recordkv/atproto/tree.hpp"

#include <map>
#include <optional>
#include <set>

namespace recordkv::test {

using block_map = std::map<std::string, std::string>;  // binary CID to bytes
using leaf_map = std::map<std::string, std::string>;   // key to binary CID

inline unsigned model_height(std::string_view key) {
  unsigned zeros = 0;
  for (const char c : atproto::sha256(key)) {
    for (int bit = 7; bit >= 0; --bit, ++zeros) {
      if ((c >> bit & 1) != 0) return zeros / 2;
    }
  }
  return 128;
}

/// The nth key "com.example.t/…" of this height. They ascend with n.
inline std::string key_of_height(unsigned height, unsigned nth = 0) {
  for (unsigned i = 100'000;; ++i) {
    auto key = fmt::format("com.example.t/{}", i);
    if (model_height(key) == height && nth-- == 0) return key;
  }
}

/// One entry as JSON; `after` is a binary CID or empty.
inline std::string entry_json(std::string_view suffix, long prefix, std::string_view value,
                              std::string_view after = {}) {
  return fmt::format(R"({{"k":{},"p":{},"t":{},"v":{}}})", bytes_json(suffix), prefix,
                     after.empty() ? "null" : link_json(atproto::cid_text(after)), link_json(atproto::cid_text(value)));
}

inline std::string node_of(std::string_view entries, std::string_view before = {}) {
  return cbor(
      fmt::format(R"({{"e":[{}],"l":{}}})", entries, before.empty() ? "null" : link_json(atproto::cid_text(before))));
}

struct model_tree {
  std::string root;
  block_map blocks;
  std::set<std::string> keyless;  // CIDs of nodes without keys
};

class tree_maker {
 public:
  explicit tree_maker(const leaf_map& leaves) {
    unsigned top = 0;
    for (const auto& [key, value] : leaves) {
      all_.push_back({key, value, model_height(key)});
      top = std::max(top, all_.back().height);
    }
    made_.root = all_.empty() ? keep(node_of("")) : node(0, all_.size(), top);
  }
  model_tree made() { return std::move(made_); }

 private:
  struct leaf {
    std::string key, value;
    unsigned height;
  };

  std::string keep(const std::string& block) {
    auto cid = atproto::cid_of(block);
    made_.blocks[cid] = block;
    return cid;
  }

  std::string node(std::size_t from, std::size_t to, unsigned level) {
    if (from == to) return {};
    std::vector<std::size_t> mine;
    for (auto i = from; i < to; ++i) {
      if (all_[i].height == level) mine.push_back(i);
    }
    const auto child = [&](std::size_t a, std::size_t b) { return a == b ? std::string{} : node(a, b, level - 1); };
    std::string entries, last;
    for (std::size_t n = 0; n < mine.size(); ++n) {
      const auto& l = all_[mine[n]];
      std::size_t shared = 0;
      while (shared < last.size() && shared < l.key.size() && last[shared] == l.key[shared]) ++shared;
      const auto next = n + 1 < mine.size() ? mine[n + 1] : to;
      entries += (n == 0 ? "" : ",") +
                 entry_json(l.key.substr(shared), static_cast<long>(shared), l.value, child(mine[n] + 1, next));
      last = l.key;
    }
    const auto cid = keep(node_of(entries, child(from, mine.empty() ? to : mine[0])));
    if (mine.empty()) made_.keyless.insert(cid);
    return cid;
  }

  std::vector<leaf> all_;
  model_tree made_;
};

inline model_tree model_of(const leaf_map& leaves) { return tree_maker(leaves).made(); }

/// Blocks as a CAR that has been read.
class made_car {
 public:
  explicit made_car(const block_map& blocks) : bytes_(header()) {
    for (const auto& [cid, block] : blocks) bytes_ += car_section(cid, block);
    car_ = atproto::car::read(bytes_).value();
  }
  made_car(const made_car&) = delete;
  const atproto::car& operator*() const { return *car_; }

 private:
  static std::string header() {
    static const auto root = link_json(atproto::cid_text_of("root"));
    static const auto bytes = cbor(fmt::format(R"({{"roots":[{}],"version":1}})", root));
    return length_prefix(bytes.size()) + bytes;
  }

  std::string bytes_;
  std::optional<atproto::car> car_;
};

inline atproto::op_view create(std::string_view path, std::string_view cid) {
  return {atproto::action::create, path, cid, {}};
}
inline atproto::op_view update(std::string_view path, std::string_view cid, std::string_view prev) {
  return {atproto::action::update, path, cid, prev};
}
inline atproto::op_view remove(std::string_view path, std::string_view prev) {
  return {atproto::action::remove, path, {}, prev};
}

/// The leaves of a walk, or the word for what is wrong.
struct walked {
  std::vector<atproto::tree_leaf> leaves;
  std::string flaw;
};
template <class Find>
walked walk(const Find& find, std::string_view root, atproto::tree_keys keys = atproto::tree_keys::paths) {
  walked out;
  const auto done = atproto::walk_tree(find, root, keys, [&](std::string_view path, std::string_view cid) {
    out.leaves.push_back({std::string(path), std::string(cid)});
  });
  if (!done) out.flaw = done.error().text;
  return out;
}
inline walked walk(const block_map& blocks, std::string_view root,
                   atproto::tree_keys keys = atproto::tree_keys::paths) {
  const auto find = [&](std::string_view cid) {
    const auto at = blocks.find(std::string(cid));
    return at == blocks.end() ? std::string_view{} : std::string_view(at->second);
  };
  return walk(find, root, keys);
}

}  // namespace recordkv::test
