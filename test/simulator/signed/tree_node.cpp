#include "tree_node.hpp"

#include "../cbor_writer.hpp"

#include <algorithm>

namespace recordkv::sim {
namespace {

std::shared_ptr<tree_node> copy_of(const tree_node& n) {
  auto out = std::make_shared<tree_node>(n);
  out->known_cid.reset();
  return out;
}

node_ptr& child_of(tree_node& n, std::size_t at) { return at == 0 ? n.left : n.entries[at - 1].right; }

// A node that holds nothing is no node.
node_ptr made(std::shared_ptr<tree_node> n) {
  if (n->entries.empty() && n->left == nullptr) return nullptr;
  return n;
}

std::size_t shared_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

void write_link(cbor_writer& w, const node_ptr& to) {
  if (to == nullptr) return w.null();
  w.link(to->cid());
}

}  // namespace

std::size_t tree_node::position(std::string_view path) const {
  const auto at =
      std::ranges::lower_bound(entries, path, {}, [](const tree_entry& e) { return std::string_view(e.value->path); });
  return static_cast<std::size_t>(at - entries.begin());
}

std::string tree_node::encode() const {
  cbor_writer w;
  w.map(2);
  w.text("e"), w.array(entries.size());
  std::string_view last;
  for (const tree_entry& e : entries) {
    const std::string_view path = e.value->path;
    const std::size_t shared = shared_prefix(last, path);
    w.map(4);
    w.text("k"), w.octets(path.substr(shared));
    w.text("p"), w.integer(static_cast<std::int64_t>(shared));
    w.text("t"), write_link(w, e.right);
    w.text("v"), w.link(e.value->cid);
    last = path;
  }
  w.text("l"), write_link(w, left);
  return w.take();
}

sim::cid tree_node::cid() const {
  if (!known_cid) known_cid = sim::cid::of(encode());
  return *known_cid;
}

std::pair<node_ptr, node_ptr> split(const node_ptr& n, std::string_view path) {
  if (n == nullptr) return {};
  const std::size_t at = n->position(path);
  auto [below, above] = split(n->child(at), path);
  auto low = copy_of(*n), high = copy_of(*n);
  low->entries.resize(at);
  child_of(*low, at) = std::move(below);
  high->entries.erase(high->entries.begin(), high->entries.begin() + static_cast<std::ptrdiff_t>(at));
  high->left = std::move(above);
  return {made(std::move(low)), made(std::move(high))};
}

node_ptr merge(const node_ptr& low, const node_ptr& high) {
  if (low == nullptr) return high;
  if (high == nullptr) return low;
  auto out = copy_of(*low);
  node_ptr& last = child_of(*out, out->entries.size());
  last = merge(last, high->left);
  out->entries.insert(out->entries.end(), high->entries.begin(), high->entries.end());
  return out;
}

node_ptr lift(node_ptr n, int height) {
  while (n != nullptr && n->height < height) {
    auto above = std::make_shared<tree_node>();
    above->height = n->height + 1;
    above->left = std::move(n);
    n = std::move(above);
  }
  return n;
}

node_ptr with(const node_ptr& n, int height, const record_ptr& r, int record_height) {
  if (n == nullptr) {
    auto out = std::make_shared<tree_node>();
    out->height = record_height;
    out->entries.push_back({r, nullptr});
    return lift(std::move(out), height);
  }
  auto out = copy_of(*n);
  const std::size_t at = n->position(r->path);
  if (record_height < height) {
    child_of(*out, at) = with(n->child(at), height - 1, r, record_height);
  } else if (at < n->entries.size() && n->entries[at].value->path == r->path) {
    out->entries[at].value = r;
  } else {
    auto [below, above] = split(n->child(at), r->path);
    child_of(*out, at) = std::move(below);
    out->entries.insert(out->entries.begin() + static_cast<std::ptrdiff_t>(at), {r, std::move(above)});
  }
  return out;
}

node_ptr without(const node_ptr& n, std::string_view path, int record_height) {
  auto out = copy_of(*n);
  const std::size_t at = n->position(path);
  if (record_height < n->height) {
    child_of(*out, at) = without(n->child(at), path, record_height);
  } else {
    const node_ptr rest = merge(n->child(at), n->entries[at].right);
    out->entries.erase(out->entries.begin() + static_cast<std::ptrdiff_t>(at));
    child_of(*out, at) = rest;
  }
  return made(std::move(out));
}

}  // namespace recordkv::sim
