// One node of a tree, and the four operations on nodes that keep the tree's form.
//
// Owns: the rules of heights, the encoding of a node.
// Does not know: the empty tree, and what is above a root.
#pragma once

#include "tree.hpp"

#include <optional>

namespace recordkv::sim {

struct tree_entry {
  record_ptr value;
  node_ptr right;  // what lies between this entry and the next
};

struct tree_node {
  int height = 0;
  node_ptr left;  // what lies before the first entry
  std::vector<tree_entry> entries;
  mutable std::optional<sim::cid> known_cid;

  sim::cid cid() const;
  std::string encode() const;
  /// The child that holds `path` if the tree does: left of entry `at`.
  const node_ptr& child(std::size_t at) const { return at == 0 ? left : entries[at - 1].right; }
  /// The number of entries below `path`.
  std::size_t position(std::string_view path) const;
};

/// `n` with the record, whose height is at most that of `n`; null is an empty subtree of that height.
node_ptr with(const node_ptr& n, int height, const record_ptr& r, int record_height);
/// `n` without the record at `path`, which must be there. Null when nothing is left.
node_ptr without(const node_ptr& n, std::string_view path, int record_height);
/// What lies below and above `path` in `n`.
std::pair<node_ptr, node_ptr> split(const node_ptr& n, std::string_view path);
/// Two subtrees of one height, the first wholly below the second, as one.
node_ptr merge(const node_ptr& low, const node_ptr& high);
/// `n` under as many nodes without entries as it takes to reach `height`. Null stays null.
node_ptr lift(node_ptr n, int height);

}  // namespace recordkv::sim
