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
inline constexpr unsigned max_tree_height = 40;    ///< a higher tree takes 2^80 hashes to make: an attack

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

/// Walks a whole tree, in key order. Calls `show` for each leaf. Every node is checked: form, prefixes, order, heights,
/// levels. errc::malformed with a word: "node", "prefix", "order", "height", "level", "empty_node", "key", "cycle",
/// "too_high". errc::not_found: a node is missing ("missing_node"). Memory does not grow with the number of leaves.
result<void> walk_tree(const std::function<std::string_view(std::string_view cid)>& block, std::string_view root,
                       tree_keys keys, const std::function<void(std::string_view path, std::string_view cid)>& show);

/// The root (binary CID) of the only tree that has exactly these leaves. They ascend by path, each once.
std::string tree_root(const std::vector<tree_leaf>& leaves);

/// What a commit proves about its ops. The words are reasons of counters.
struct ops_proof {
  /// Why the ops are not those of the new tree; empty: they are. "op_value" (a created or updated path has another CID
  /// or is absent), "op_present" (a deleted path is there), "not_provable" (a node is missing), or a word of walk_tree.
  std::string_view ops_flaw;
  /// The root before the commit, binary, by undoing the ops; empty if it could not be found.
  std::string before;
  /// Why not: "missing_node", "op_value", "op_present", "op_prev" (an update or delete does not name the old record).
  std::string_view before_flaw;
};

/// Checks the ops against the tree with root `after`, then undoes them on it: deletes first, then the others in reverse
/// order; if a node is missing then, all in reverse order. Any order that arrives at a root is a proof. `blocks` holds
/// at least the nodes on the way.
ops_proof prove_ops(const car& blocks, std::string_view after, const std::vector<op_view>& ops,
                    tree_keys keys = tree_keys::paths);

}  // namespace recordkv::atproto
