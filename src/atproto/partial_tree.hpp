// A tree of which only some nodes are at hand, and its changes.
//
// Owns: reading nodes when they are needed, look-up, insert, remove, replace, the root afterwards.
// Does not know: ops, commits. A node's own rules are in tree_node.hpp.
#pragma once

#include "recordkv/atproto/car.hpp"
#include "tree_node.hpp"

#include <array>
#include <cstddef>
#include <deque>

namespace recordkv::atproto {

/// The flaw of a call that needs a node which is not at hand.
inline constexpr std::string_view missing_node = "missing_node";

/// Borrows the blocks, and the keys and CIDs that are put in. A flaw is a word of walk_tree() or missing_node; after
/// it the tree is of no further use.
///
/// A call goes down the tree at most three times side by side, and a tree has at most max_tree_height + 1 levels. Two
/// subtrees never share a key, so no block with keys is accepted twice. Memory grows with the blocks and the calls.
class partial_tree {
 public:
  partial_tree(const car& blocks, std::string_view root, tree_keys keys)
      : blocks_(blocks), keys_(keys), root_{root, nullptr} {}
  partial_tree(const partial_tree&) = delete;
  partial_tree& operator=(const partial_tree&) = delete;

  /// Reads the top node. The first call.
  std::string_view open();

  struct found {
    std::string_view cid;  ///< binary; empty: the tree does not have the key
    std::string_view flaw;
  };
  found find(std::string_view key);

  std::string_view insert(std::string_view key, std::string_view value);   ///< only of an absent key
  std::string_view replace(std::string_view key, std::string_view value);  ///< only of a present key
  std::string_view remove(std::string_view key);                           ///< only of a present key

  /// The root's CID, binary. Changed nodes are written and hashed, once each.
  ///
  /// If what is left at the top is a link to a node that is not at hand, the link's CID counts as the root. It is not
  /// the root if that node has no keys. The answer is then the root of no valid tree, and proves nothing false.
  std::string root();

 private:
  struct leaf {
    std::string_view key;
    std::string_view value;
    unsigned height;
  };
  struct halves {
    tree_link lower;
    tree_link upper;
  };

  tree_node& make();
  std::string_view read(tree_link& at);
  std::string_view load(tree_link& at, unsigned level, key_range range);
  std::string_view descend(std::string_view key, bool change, tree_entry*& entry);
  std::string_view insert_below(tree_link& at, unsigned level, key_range range, const leaf& l);
  std::string_view remove_below(tree_link& at, unsigned level, key_range range, const leaf& l);
  std::string_view split(tree_link at, unsigned level, key_range range, std::string_view key, halves& into);
  std::string_view merge(tree_link& left, tree_link right, unsigned level, key_range range, std::string_view seam);
  std::string_view trim();
  static void settle(tree_link& at);

  const car& blocks_;
  tree_keys keys_;
  tree_link root_;      // empty: the tree has no entries
  unsigned level_ = 0;  // of the top node; 0 for an empty tree
  std::deque<tree_node> nodes_;
  std::array<std::byte, 4096> first_memory_;
  std::pmr::monotonic_buffer_resource memory_{first_memory_.data(), first_memory_.size()};  // of keys
};

}  // namespace recordkv::atproto
