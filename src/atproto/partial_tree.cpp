// Changes of a tree, node by node.
//
// Owns: splitting and merging subtrees, and what happens at the top. Each function that calls itself goes one level
// down, so at most max_tree_height + 1 calls are open.
// Does not know: why the tree changes.
#include "partial_tree.hpp"

#include "recordkv/atproto/cid.hpp"

namespace recordkv::atproto {

tree_node& partial_tree::make() {
  auto& node = nodes_.emplace_back();
  node.changed = true;
  return node;
}

std::string_view partial_tree::read(tree_link& at) {
  const auto block = blocks_.find(at.cid);
  if (block.data() == nullptr) return missing_node;
  auto& node = nodes_.emplace_back();
  at.node = &node;
  return read_node(block, keys_, memory_, node);
}

std::string_view partial_tree::load(tree_link& at, unsigned level, key_range range) {
  if (at.node != nullptr) return {};
  if (const auto flaw = read(at); !flaw.empty()) return flaw;
  return check_place(*at.node, level, range);
}

std::string_view partial_tree::open() {
  if (root_.cid == empty_tree()) {
    root_ = {};
    return {};
  }
  if (const auto flaw = read(root_); !flaw.empty()) return flaw;
  if (const auto flaw = level_of_top(*root_.node, level_); !flaw.empty()) return flaw;
  return check_place(*root_.node, level_, {});
}

/// Looks for the key's entry; null: there is none. With `change`, the nodes on the way count as changed.
std::string_view partial_tree::descend(std::string_view key, bool change, tree_entry*& entry) {
  entry = nullptr;
  const auto height = tree_height(key);
  if (root_.empty() || height > level_) return {};
  auto* at = &root_;
  key_range range;
  for (auto level = level_; !at->empty(); --level) {
    if (const auto flaw = load(*at, level, range); !flaw.empty()) return flaw;
    auto& node = *at->node;
    node.changed |= change;
    const auto i = node.position(key);
    if (level == height) {
      if (i < node.entries.size() && node.entries[i].key == key) entry = &node.entries[i];
      return {};
    }
    range = range_of_child(node, i, range);
    at = &node.child(i);
  }
  return {};
}

partial_tree::found partial_tree::find(std::string_view key) {
  tree_entry* entry = nullptr;
  if (const auto flaw = descend(key, false, entry); !flaw.empty()) return {{}, flaw};
  return {entry == nullptr ? std::string_view{} : entry->value, {}};
}

std::string_view partial_tree::replace(std::string_view key, std::string_view value) {
  tree_entry* entry = nullptr;
  if (const auto flaw = descend(key, true, entry); !flaw.empty()) return flaw;
  entry->value = value;
  return {};
}

std::string_view partial_tree::insert(std::string_view key, std::string_view value) {
  const leaf l{key, value, tree_height(key)};
  if (root_.empty()) level_ = l.height;
  for (; level_ < l.height; ++level_) {
    auto& top = make();
    top.before = root_;
    root_ = {{}, &top};
  }
  return insert_below(root_, level_, {}, l);
}

std::string_view partial_tree::insert_below(tree_link& at, unsigned level, key_range range, const leaf& l) {
  if (at.empty()) at.node = &make();
  if (const auto flaw = load(at, level, range); !flaw.empty()) return flaw;
  auto& node = *at.node;
  node.changed = true;
  const auto i = node.position(l.key);
  const auto inner = range_of_child(node, i, range);
  if (level > l.height) return insert_below(node.child(i), level - 1, inner, l);
  halves parts;
  if (const auto flaw = split(node.child(i), level - 1, inner, l.key, parts); !flaw.empty()) return flaw;
  node.child(i) = parts.lower;
  node.entries.insert(node.entries.begin() + static_cast<std::ptrdiff_t>(i), {l.key, l.value, parts.upper});
  return {};
}

/// Divides a subtree at a key that it does not have. Of an empty link, the level is not used.
std::string_view partial_tree::split(tree_link at, unsigned level, key_range range, std::string_view key,
                                     halves& into) {
  if (at.empty()) return {};
  if (const auto flaw = load(at, level, range); !flaw.empty()) return flaw;
  auto& lower = *at.node;
  const auto i = lower.position(key);
  halves inner;
  const auto flaw = split(lower.child(i), level - 1, range_of_child(lower, i, range), key, inner);
  if (!flaw.empty()) return flaw;
  auto& upper = make();
  const auto middle = lower.entries.begin() + static_cast<std::ptrdiff_t>(i);
  upper.before = inner.upper;
  upper.entries.assign(middle, lower.entries.end());
  lower.child(i) = inner.lower;
  lower.entries.erase(middle, lower.entries.end());
  lower.entries.shrink_to_fit();  // else a large node, split often, would leave its size behind each time
  lower.changed = true;
  if (!lower.blank()) into.lower = at;
  if (!upper.blank()) into.upper = {{}, &upper};
  return {};
}

std::string_view partial_tree::remove(std::string_view key) {
  const auto flaw = remove_below(root_, level_, {}, {key, {}, tree_height(key)});
  return flaw.empty() ? trim() : flaw;
}

std::string_view partial_tree::remove_below(tree_link& at, unsigned level, key_range range, const leaf& l) {
  if (const auto flaw = load(at, level, range); !flaw.empty()) return flaw;
  auto& node = *at.node;
  node.changed = true;
  const auto i = node.position(l.key);
  auto inner = range_of_child(node, i, range);
  if (level > l.height) {
    if (const auto flaw = remove_below(node.child(i), level - 1, inner, l); !flaw.empty()) return flaw;
  } else {
    inner.before = range_of_child(node, i + 1, range).before;
    const auto flaw = merge(node.child(i), node.entries[i].after, level - 1, inner, l.key);
    if (!flaw.empty()) return flaw;
    node.entries.erase(node.entries.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (node.blank()) at = {};
  return {};
}

/// Joins two neighbours, between which the key `seam` was, into `left`. Of empty links, the level is not used.
std::string_view partial_tree::merge(tree_link& left, tree_link right, unsigned level, key_range range,
                                     std::string_view seam) {
  if (right.empty()) return {};
  if (left.empty()) {
    left = right;
    return {};
  }
  if (const auto flaw = load(left, level, {range.after, seam}); !flaw.empty()) return flaw;
  if (const auto flaw = load(right, level, {seam, range.before}); !flaw.empty()) return flaw;
  auto& into = *left.node;
  auto& from = *right.node;
  const auto last = into.entries.size();
  const key_range inner{range_of_child(into, last, range).after, range_of_child(from, 0, range).before};
  if (const auto flaw = merge(into.child(last), from.before, level - 1, inner, seam); !flaw.empty()) return flaw;
  into.entries.insert(into.entries.end(), from.entries.begin(), from.entries.end());
  into.changed = true;
  return {};
}

/// Takes nodes without keys off the top. An emptied tree begins again at level 0.
std::string_view partial_tree::trim() {
  while (root_.node != nullptr && root_.node->entries.empty()) {
    root_ = root_.node->before;
    --level_;
    const auto flaw = load(root_, level_, {});
    if (flaw == missing_node) return {};
    if (!flaw.empty()) return flaw;
  }
  if (root_.empty()) level_ = 0;
  return {};
}

void partial_tree::settle(tree_link& at) {
  if (at.node == nullptr || !at.node->changed) return;
  auto& node = *at.node;
  for (std::size_t i = 0; i <= node.entries.size(); ++i) settle(node.child(i));
  node.cid = cid_of(write_node(node));
  node.changed = false;
  at.cid = node.cid;
}

std::string partial_tree::root() {
  if (root_.empty()) return std::string(empty_tree());
  settle(root_);
  return std::string(root_.cid);
}

}  // namespace recordkv::atproto
