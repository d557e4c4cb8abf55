// Merkle search trees: reading them strictly, and undoing the operations of a commit on the part that it contains.
//
// Owns: the form of a node, the height of a key, the rules of a valid tree, the partial tree and its changes.
// Does not know: commits, signatures, records, stored state. Pure.
// Sources: atproto.com specification "repository" (MST), sync specification (operation inversion).
#pragma once

#include "recordkv/atproto/car.hpp"
#include "recordkv/atproto/frame.hpp"
#include "recordkv/core/result.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::atproto {

inline constexpr std::size_t max_tree_key = 1024;  ///< bytes of a path
inline constexpr unsigned max_tree_height = 128;   ///< a digest of 256 bits has no more; each level costs four times more

/// The height of a key: half the number of leading zero bits of its SHA-256, rounded down.
unsigned tree_height(std::string_view key);

/// The CID (binary) of the tree without entries.
std::string_view empty_tree() noexcept;

struct tree_leaf {
  std::string path;
  std::string cid;  ///< binary, of the record
  bool operator==(const tree_leaf&) const = default;
};

/// Whether each key must be a repo path, "{nsid}/{rkey}". Trees of other suites have other keys.
enum class tree_keys : bool { paths, any };

/// Walks a whole tree, in key order. Calls `show` for each leaf. What `block` returns need not outlive the next call.
///
/// Every node is checked. errc::malformed, with the word of the rule that is broken:
///
///   "node"        it is not the canonical form of a node: fields, types, dag-cbor links.
///   "prefix"      a key does not name the longest prefix that it shares with the one before.
///   "key"         a key is empty, longer than max_tree_key, or no path.
///   "order"       a key is not greater than the one before it in the tree, or not less than the one after it.
///   "height"      two keys of a node have different heights.
///   "level"       a node is not exactly one level below its parent, or is below level 0. A cycle ends here, too.
///   "empty_node"  the top node has no key, or another node has neither key nor child.
///
/// errc::not_found: a node is missing ("missing_node").
///
/// Bounds: memory holds the nodes on one way down, at most max_tree_height + 1. It does not grow with the number of
/// leaves. No node with a key is passed twice, because its keys would be out of order the second time.
result<void> walk_tree(const std::function<std::string_view(std::string_view cid)>& block, std::string_view root,
                       tree_keys keys, const std::function<void(std::string_view path, std::string_view cid)>& show);

/// The root (binary CID) of the only tree that has exactly these leaves. They ascend by path, each once.
std::string tree_root(const std::vector<tree_leaf>& leaves);

/// What a commit proves about its ops. The words are reasons of counters.
struct ops_proof {
  /// Why the ops are not those of the new tree; empty: they are. "op_value" (a created or updated path has another CID
  /// or is absent), "op_present" (a deleted path is there), "not_provable" (a node is missing), or a word of walk_tree.
  /// "key" is also the word for a path that is no key. Nodes away from the paths of the ops are not looked at.
  std::string_view ops_flaw;
  /// The root before the commit, binary, by undoing the ops; empty if it could not be found.
  std::string before;
  /// Why not: "missing_node", "op_value", "op_present", "op_prev" (an update or delete does not name the old record),
  /// or a word of walk_tree. If ops_flaw is set, this is the same flaw.
  std::string_view before_flaw;
};

/// Checks the ops against the tree with root `after`, then undoes them on it: deletes first, then the others in reverse
/// order; if a node is missing then, all in reverse order. Any order that arrives at a root is a proof. `blocks` holds
/// at least the nodes on the way.
///
/// Bounds: an op reads at most three ways down the tree, and a way has at most max_tree_height + 1 nodes. In one order
/// no block with keys is read twice, because they would be out of place the second time. So time and memory grow with
/// ops and blocks, which read_commit() limits.
ops_proof prove_ops(const car& blocks, std::string_view after, const std::vector<op_view>& ops,
                    tree_keys keys = tree_keys::paths);

}  // namespace recordkv::atproto
