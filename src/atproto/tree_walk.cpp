// Whole trees: from the nodes to the leaves, and from the leaves to the root.
//
// Owns: the walk with its path of open nodes, and the division of leaves into nodes.
// Does not know: partial trees. A node's own rules are in tree_node.hpp.
#include "recordkv/atproto/cid.hpp"
#include "tree_node.hpp"

#include <algorithm>
#include <deque>
#include <span>

namespace recordkv::atproto {

namespace {

/// An open node of the walk. It keeps its block, so that the source of blocks may reuse its memory.
struct open_node {
  std::string block;
  std::pmr::monotonic_buffer_resource memory;
  tree_node node;
  unsigned level = 0;
  key_range range;
  std::size_t next_child = 0;
};

class walk {
 public:
  walk(const std::function<std::string_view(std::string_view)>& block, tree_keys keys) : block_(block), keys_(keys) {}

  result<void> run(std::string_view root, const std::function<void(std::string_view, std::string_view)>& show) {
    if (root == empty_tree()) return {};
    if (auto opened = open_top(root); !opened) return opened;
    while (!way_.empty()) {
      auto& at = way_.back();
      if (at.next_child > at.node.entries.size()) {
        way_.pop_back();
        continue;
      }
      const auto i = at.next_child++;
      if (i > 0) show(at.node.entries[i - 1].key, at.node.entries[i - 1].value);
      const auto& child = at.node.child(i);
      if (child.empty()) continue;
      auto opened = open(child.cid, at.level - 1, range_of_child(at.node, i, at.range));
      if (!opened) return opened;
    }
    return {};
  }

 private:
  result<void> read(std::string_view cid) {
    const auto bytes = block_(cid);
    if (bytes.data() == nullptr) return fail(errc::not_found, "missing_node");
    auto& at = way_.emplace_back();
    at.block = bytes;
    return judge(read_node(at.block, keys_, at.memory, at.node));
  }

  result<void> open_top(std::string_view root) {
    if (auto done = read(root); !done) return done;
    auto& at = way_.back();
    if (auto known = judge(level_of_top(at.node, at.level)); !known) return known;
    return judge(check_place(at.node, at.level, {}));
  }

  result<void> open(std::string_view cid, unsigned level, key_range range) {
    if (auto done = read(cid); !done) return done;
    auto& at = way_.back();
    at.level = level;
    at.range = range;
    return judge(check_place(at.node, level, range));
  }

  static result<void> judge(std::string_view flaw) {
    if (flaw.empty()) return {};
    return error{errc::malformed, std::string(flaw)};
  }

  const std::function<std::string_view(std::string_view)>& block_;
  tree_keys keys_;
  std::deque<open_node> way_;  // from the top down: at most max_tree_height + 1
};

/// Leaves and their heights, both cut in the same way.
struct leaf_run {
  std::span<const tree_leaf> leaves;
  std::span<const unsigned char> heights;

  leaf_run part(std::size_t from, std::size_t to) const {
    return {leaves.subspan(from, to - from), heights.subspan(from, to - from)};
  }
};

/// The CID of the subtree of these leaves, whose top node is at this level; empty without leaves. It calls itself once
/// per level.
std::string subtree(leaf_run run, unsigned level) {
  if (run.leaves.empty()) return {};
  tree_node node;
  std::deque<std::string> cids;  // of the children; they stay where they are
  std::size_t from = 0;
  const auto close_gap = [&](std::size_t to) {
    if (level > 0) node.child(node.entries.size()).cid = cids.emplace_back(subtree(run.part(from, to), level - 1));
    from = to + 1;
  };
  for (std::size_t i = 0; i < run.leaves.size(); ++i) {
    if (run.heights[i] != level) continue;
    close_gap(i);
    node.entries.push_back({run.leaves[i].path, run.leaves[i].cid, {}});
  }
  close_gap(run.leaves.size());
  return cid_of(write_node(node));
}

}  // namespace

std::string_view empty_tree() noexcept {
  static const std::string cid = cid_of(write_node({}));
  return cid;
}

result<void> walk_tree(const std::function<std::string_view(std::string_view cid)>& block, std::string_view root,
                       tree_keys keys, const std::function<void(std::string_view path, std::string_view cid)>& show) {
  return walk(block, keys).run(root, show);
}

std::string tree_root(const std::vector<tree_leaf>& leaves) {
  if (leaves.empty()) return std::string(empty_tree());
  std::vector<unsigned char> heights;
  heights.reserve(leaves.size());
  for (const auto& leaf : leaves) heights.push_back(static_cast<unsigned char>(tree_height(leaf.path)));
  return subtree({leaves, heights}, std::ranges::max(heights));
}

}  // namespace recordkv::atproto
