// One node of a tree: reading it, checking it against its place in the tree, writing it.
//
// Owns: the form of a node, and each rule that can be judged from one node and its place.
// Does not know: where blocks come from, and how trees change.
#pragma once

#include "recordkv/atproto/tree.hpp"

#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::atproto {

struct tree_node;

/// What may stand between two keys: nothing, or a subtree. Its top node is known by CID until it is read.
struct tree_link {
  std::string_view cid;       ///< binary; not up to date while the node is changed
  tree_node* node = nullptr;  ///< null: not read
  bool empty() const noexcept { return cid.empty() && node == nullptr; }
};

struct tree_entry {
  std::string_view key;    ///< in full
  std::string_view value;  ///< binary CID of the record
  tree_link after;         ///< the subtree between this key and the next
};

struct tree_node {
  tree_link before;  ///< the subtree left of the first key
  std::vector<tree_entry> entries;
  bool changed = false;  ///< its CID is to be computed anew
  std::string cid;       ///< binary, computed; empty for a node that was only read

  /// The subtree left of entry i; with i == entries.size(), right of the last one.
  tree_link& child(std::size_t i) noexcept { return i == 0 ? before : entries[i - 1].after; }
  const tree_link& child(std::size_t i) const noexcept { return i == 0 ? before : entries[i - 1].after; }
  /// The first entry whose key is not less.
  std::size_t position(std::string_view key) const noexcept;
  bool blank() const noexcept { return entries.empty() && before.empty(); }
};

/// Between which keys a subtree lies. Both are exclusive; an empty one is no bound.
struct key_range {
  std::string_view after;
  std::string_view before;
};
/// The range of child i of a node that lies in `range`.
key_range range_of_child(const tree_node& node, std::size_t i, key_range range) noexcept;

// Answers below: empty for success, else a word of walk_tree().

/// Whether it may be a key of a tree.
std::string_view check_key(std::string_view key, tree_keys keys) noexcept;

/// Reads one node. Its keys and CIDs are views into `block`, or into memory taken from `memory`.
std::string_view read_node(std::string_view block, tree_keys keys, std::pmr::memory_resource& memory, tree_node& into);

/// The level of a tree, from its top node. That node must have a key.
std::string_view level_of_top(const tree_node& top, unsigned& level);

/// Checks what the place of a node demands: the height of each key, the levels, the range.
std::string_view check_place(const tree_node& node, unsigned level, key_range range);

/// The canonical bytes. Of each link only the CID is used.
std::string write_node(const tree_node& node);

}  // namespace recordkv::atproto
