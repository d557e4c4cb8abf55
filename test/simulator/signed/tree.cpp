#include "tree.hpp"

#include "../cbor_writer.hpp"
#include "tree_node.hpp"

#include <bit>
#include <unordered_set>

namespace recordkv::sim {
namespace {

// Nodes of a proof, each once.
struct gathering {
  std::unordered_set<const tree_node*> seen;
  std::vector<tree_block> blocks;

  void add(const tree_node& n) {
    if (seen.insert(&n).second) blocks.push_back({n.cid(), n.encode()});
  }
  // The nodes from `n` down to where `path` is or would be.
  void add_way(const tree_node* n, std::string_view path) {
    while (n != nullptr) {
      add(*n);
      const std::size_t at = n->position(path);
      if (at < n->entries.size() && n->entries[at].value->path == path) return;
      n = n->child(at).get();
    }
  }
};

void add_all(std::vector<tree_block>& out, const node_ptr& n) {
  if (n == nullptr) return;
  out.push_back({n->cid(), n->encode()});
  for (std::size_t i = 0; i <= n->entries.size(); ++i) add_all(out, n->child(i));
}

void visit_node(const node_ptr& n, const std::function<void(const record&)>& each) {
  if (n == nullptr) return;
  visit_node(n->left, each);
  for (const tree_entry& e : n->entries) {
    each(*e.value);
    visit_node(e.right, each);
  }
}

const tree_block& empty_tree() {
  static const tree_block block = [] {
    std::string bytes = tree_node().encode();
    const sim::cid name = sim::cid::of(bytes);
    return tree_block{name, std::move(bytes)};
  }();
  return block;
}

}  // namespace

int height_of(std::string_view path) {
  int zeros = 0;
  for (const unsigned char byte : sha256(path)) {
    zeros += std::countl_zero(byte);
    if (byte != 0) break;
  }
  return zeros / 2;
}

const record* tree::find(std::string_view path) const {
  for (const tree_node* n = root_.get(); n != nullptr;) {
    const std::size_t at = n->position(path);
    if (at < n->entries.size() && n->entries[at].value->path == path) return n->entries[at].value.get();
    n = n->child(at).get();
  }
  return nullptr;
}

void tree::put(record_ptr r) {
  const int height = height_of(r->path);
  if (root_ == nullptr || height <= root_->height) {
    root_ = with(root_, root_ == nullptr ? height : root_->height, r, height);
    return;
  }
  auto [below, above] = split(root_, r->path);
  auto top = std::make_shared<tree_node>();
  top->height = height;
  top->left = lift(std::move(below), height - 1);
  top->entries.push_back({std::move(r), lift(std::move(above), height - 1)});
  root_ = std::move(top);
}

void tree::remove(std::string_view path) {
  root_ = without(root_, path, height_of(path));
  while (root_ != nullptr && root_->entries.empty()) root_ = node_ptr(root_->left);
}

const record* tree::before(std::string_view path) const {
  const record* out = nullptr;
  for (const tree_node* n = root_.get(); n != nullptr;) {
    const std::size_t at = n->position(path);
    if (at > 0) out = n->entries[at - 1].value.get();
    n = n->child(at).get();
  }
  return out;
}

const record* tree::after(std::string_view path) const {
  const record* out = nullptr;
  for (const tree_node* n = root_.get(); n != nullptr;) {
    std::size_t at = n->position(path);
    if (at < n->entries.size() && n->entries[at].value->path == path) ++at;
    if (at < n->entries.size()) out = n->entries[at].value.get();
    n = n->child(at).get();
  }
  return out;
}

void tree::visit(const std::function<void(const record&)>& each) const { visit_node(root_, each); }

sim::cid tree::root() const { return root_ == nullptr ? empty_tree().cid : root_->cid(); }

std::vector<tree_block> tree::blocks() const {
  std::vector<tree_block> out;
  add_all(out, root_);
  if (out.empty()) out.push_back(empty_tree());
  return out;
}

std::vector<tree_block> tree::proof(std::span<const std::string_view> paths) const {
  if (root_ == nullptr) return {empty_tree()};
  gathering g;
  g.add(*root_);
  for (const std::string_view path : paths) {
    g.add_way(root_.get(), path);
    if (const record* r = before(path)) g.add_way(root_.get(), r->path);
    if (const record* r = after(path)) g.add_way(root_.get(), r->path);
  }
  return std::move(g.blocks);
}

}  // namespace recordkv::sim
