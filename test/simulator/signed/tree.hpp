// The tree of a repo: a map from path to record, whose root CID names its content.
//
// Owns: the Merkle search tree of the repository specification, fanout 4, and which of its nodes prove a change.
// Does not know: commits, CAR files. It only writes: nothing here reads a node.
//
// Trees share their unchanged nodes, so that a copy is cheap and each node is encoded and hashed once.
#pragma once

#include "../names.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::sim {

/// One record as it stands in a repo.
struct record {
  std::string path;  ///< collection/rkey
  sim::cid cid;
  std::string cbor;
  std::uint64_t rev = 0;
  std::uint64_t time_us = 0;
  bool updated = false;  ///< by an update, not by a create
  bool bad = false;      ///< its CBOR is not canonical
};
using record_ptr = std::shared_ptr<const record>;

/// Half of the leading zero bits of the key's SHA-256.
int height_of(std::string_view path);

struct tree_node;
using node_ptr = std::shared_ptr<const tree_node>;

/// The block of a node.
struct tree_block {
  sim::cid cid;
  std::string bytes;
  friend bool operator==(const tree_block&, const tree_block&) = default;
};

class tree {
 public:
  const record* find(std::string_view path) const;
  void put(record_ptr r);              ///< new, or instead of the record at its path
  void remove(std::string_view path);  ///< must be there
  bool empty() const noexcept { return root_ == nullptr; }

  const record* before(std::string_view path) const;                 ///< the last one below `path`
  const record* after(std::string_view path) const;                  ///< the first one above `path`
  void visit(const std::function<void(const record&)>& each) const;  ///< in the order of paths

  sim::cid root() const;
  std::vector<tree_block> blocks() const;  ///< every node, parents first
  /// The nodes on the way to each path, and to its neighbours: what a reader needs to undo changes there.
  std::vector<tree_block> proof(std::span<const std::string_view> paths) const;

 private:
  node_ptr root_;  // null: the empty tree
};

}  // namespace recordkv::sim
