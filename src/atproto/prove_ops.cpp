// The ops of a commit, checked against its tree and undone on it.
//
// Owns: the order in which ops are undone, and the words for ops that don't fit.
// Does not know: how a tree changes.
#include "partial_tree.hpp"

#include <vector>

namespace recordkv::atproto {

namespace {

using op_list = std::vector<const op_view*>;

/// Whether the tree has what the op leaves behind.
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

std::string_view undo_ops(partial_tree& tree, const op_list& ops) {
  for (const auto* op : ops) {
    if (const auto flaw = undo_op(tree, *op); !flaw.empty()) return flaw;
  }
  return {};
}

enum class deletes { first, in_place };

/// The reverse of the order of the ops; with deletes::first, deletes come before the others.
op_list undo_order(const std::vector<op_view>& ops, deletes where) {
  op_list out, later;
  for (auto op = ops.rbegin(); op != ops.rend(); ++op) {
    const bool now = where == deletes::in_place || op->what == action::remove;
    (now ? out : later).push_back(&*op);
  }
  out.insert(out.end(), later.begin(), later.end());
  return out;
}

/// Sets `before` or its flaw.
void conclude(ops_proof& proof, partial_tree& tree, std::string_view flaw) {
  proof.before_flaw = flaw;
  if (flaw.empty()) proof.before = tree.root();
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
  const auto order = undo_order(ops, deletes::first);
  const auto backwards = undo_order(ops, deletes::in_place);
  const auto flaw = undo_ops(tree, order);
  if (flaw != missing_node || order == backwards) {
    conclude(proof, tree, flaw);
    return proof;
  }
  partial_tree again(blocks, after, keys);
  const auto opened = again.open();
  conclude(proof, again, opened.empty() ? undo_ops(again, backwards) : opened);
  return proof;
}

}  // namespace recordkv::atproto
