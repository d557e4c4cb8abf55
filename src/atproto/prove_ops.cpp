// Checks a commit's ops against its tree, and undoes them on that tree.
//
// Owns: the order in which ops are undone, and the words for ops that don't fit.
// Does not know: how a tree changes.
#include "partial_tree.hpp"

#include <vector>

namespace recordkv::atproto {

namespace {

/// Why the tree does not have what the op leaves behind; empty: it does.
std::string_view check_op(partial_tree& tree, const op_view& op) {
  const auto now = tree.find(op.path);
  if (!now.flaw.empty()) return now.flaw;
  if (op.what == action::remove) return now.cid.empty() ? std::string_view{} : "op_present";
  return now.cid == op.cid && !now.cid.empty() ? std::string_view{} : "op_value";
}

std::string_view check_ops(partial_tree& tree, const std::vector<op_view>& ops, tree_keys keys) {
  for (const auto& op : ops) {
    if (const auto flaw = check_key(op.path, keys); !flaw.empty()) return flaw;
  }
  if (const auto flaw = tree.open(); !flaw.empty()) return flaw;
  for (const auto& op : ops) {
    if (const auto flaw = check_op(tree, op); !flaw.empty()) return flaw;
  }
  return {};
}

std::string_view undo_op(partial_tree& tree, const op_view& op) {
  if (const auto flaw = check_op(tree, op); !flaw.empty()) return flaw;
  if (op.what == action::create) return tree.remove(op.path);
  if (op.prev.empty()) return "op_prev";
  return op.what == action::update ? tree.replace(op.path, op.prev) : tree.insert(op.path, op.prev);
}

/// Deletes are undone first. A key that is back in the tree divides subtrees, so removing its neighbours joins fewer
/// nodes. No other order needs fewer nodes.
std::string_view undo_ops(partial_tree& tree, const std::vector<op_view>& ops) {
  for (const bool deletes : {true, false}) {
    for (auto op = ops.rbegin(); op != ops.rend(); ++op) {
      if ((op->what == action::remove) != deletes) continue;
      if (const auto flaw = undo_op(tree, *op); !flaw.empty()) return flaw;
    }
  }
  return {};
}

}  // namespace

ops_proof prove_ops(const car& blocks, std::string_view after, const std::vector<op_view>& ops, tree_keys keys) {
  ops_proof proof;
  if (ops.empty()) {
    proof.before = after;
    return proof;
  }
  partial_tree tree(blocks, after, keys);
  if (const auto flaw = check_ops(tree, ops, keys); !flaw.empty()) {
    proof.ops_flaw = flaw == missing_node ? "not_provable" : flaw;
    proof.before_flaw = flaw;
    return proof;
  }
  proof.before_flaw = undo_ops(tree, ops);
  if (proof.before_flaw.empty()) proof.before = tree.root();
  return proof;
}

}  // namespace recordkv::atproto
