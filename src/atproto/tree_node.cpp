// The fields of a node, and the prefix that its keys share.
//
// Owns: both directions between the bytes and the struct; the height of a key.
// Does not know: other nodes.
#include "tree_node.hpp"

#include "cbor_write.hpp"
#include "fields.hpp"
#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/cid.hpp"
#include "recordkv/atproto/syntax.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace recordkv::atproto {

namespace {

using cbor::kind;

struct raw_key {
  std::string_view suffix;
  std::int64_t prefix = 0;
};

bool names_node_or_record(std::string_view cid) {
  return is_block_cid(cid) && cid[1] == static_cast<char>(codec::dag_cbor);
}

std::string_view read_entry(cbor::reader& r, raw_key& key, tree_entry& e) {
  bool has_prefix = false;
  std::array<field, 3> table{{
      {"k", kind::bytes, presence::required, &key.suffix},
      {"t", kind::link, presence::required_or_null, &e.after.cid},
      {"v", kind::link, presence::required, &e.value},
  }};
  if (r.next() != kind::map) return "node";
  const auto flaw = read_fields(r, table, [&](std::string_view name, cbor::reader& value) -> std::string_view {
    if (name != "p" || value.what() != kind::integer) return "node";
    key.prefix = value.integer();
    has_prefix = true;
    return {};
  });
  if (!flaw.empty() || !has_prefix || !names_node_or_record(e.value)) return "node";
  return e.after.cid.empty() || names_node_or_record(e.after.cid) ? std::string_view{} : "node";
}

/// Puts a key together. The prefix must be the longest that it shares with the last key, and the key must be greater.
std::string_view join_key(std::string_view last, const raw_key& raw, std::pmr::memory_resource& memory,
                          std::string_view& key) {
  if (raw.prefix < 0 || static_cast<std::uint64_t>(raw.prefix) > last.size()) return "prefix";
  const auto prefix = static_cast<std::size_t>(raw.prefix);
  const auto size = prefix + raw.suffix.size();
  if (size == 0 || size > max_tree_key) return "key";
  if (raw.suffix.empty()) return "order";
  if (prefix < last.size()) {
    if (raw.suffix[0] == last[prefix]) return "prefix";
    if (raw.suffix < last.substr(prefix)) return "order";
  }
  key = raw.suffix;
  if (prefix == 0) return {};
  auto* const joined = static_cast<char*>(memory.allocate(size, 1));
  std::memcpy(joined, last.data(), prefix);
  std::memcpy(joined + prefix, raw.suffix.data(), raw.suffix.size());
  key = {joined, size};
  return {};
}

std::string_view read_entries(cbor::reader& r, tree_keys keys, std::pmr::memory_resource& memory, tree_node& into) {
  if (r.what() != kind::array) return "node";
  into.entries.resize(r.count());
  std::string_view last;
  for (auto& e : into.entries) {
    raw_key raw;
    if (const auto flaw = read_entry(r, raw, e); !flaw.empty()) return flaw;
    if (const auto flaw = join_key(last, raw, memory, e.key); !flaw.empty()) return flaw;
    if (const auto flaw = check_key(e.key, keys); !flaw.empty()) return flaw;
    last = e.key;
  }
  return {};
}

void append_link_or_null(std::string& out, const tree_link& link) {
  if (link.cid.empty()) {
    cbor::append_null(out);
  } else {
    cbor::append_link(out, link.cid);
  }
}

void append_name(std::string& out, std::string_view name) { cbor::append_string(out, cbor::major::text, name); }

std::size_t shared_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

unsigned tree_height(std::string_view key) {
  unsigned zeros = 0;
  for (const char c : sha256(key)) {
    zeros += static_cast<unsigned>(std::countl_zero(static_cast<unsigned char>(c)));
    if (c != 0) break;
  }
  return zeros / 2;
}

std::size_t tree_node::position(std::string_view key) const noexcept {
  return static_cast<std::size_t>(std::ranges::lower_bound(entries, key, {}, &tree_entry::key) - entries.begin());
}

key_range range_of_child(const tree_node& node, std::size_t i, key_range range) noexcept {
  if (i > 0) range.after = node.entries[i - 1].key;
  if (i < node.entries.size()) range.before = node.entries[i].key;
  return range;
}

std::string_view check_key(std::string_view key, tree_keys keys) noexcept {
  if (key.empty() || key.size() > max_tree_key) return "key";
  if (keys == tree_keys::any) return {};
  const auto slash = key.find('/');
  if (slash == key.npos) return "key";
  return is_nsid(key.substr(0, slash)) && is_rkey(key.substr(slash + 1)) ? std::string_view{} : "key";
}

std::string_view read_node(std::string_view block, tree_keys keys, std::pmr::memory_resource& memory, tree_node& into) {
  cbor::reader r(block);
  if (r.next() != kind::map) return "node";
  bool has_entries = false;
  std::string_view entry_flaw;
  std::array<field, 1> table{{{"l", kind::link, presence::required_or_null, &into.before.cid}}};
  const auto flaw = read_fields(r, table, [&](std::string_view name, cbor::reader& value) -> std::string_view {
    if (name != "e") return "node";
    has_entries = true;
    return entry_flaw = read_entries(value, keys, memory, into);
  });
  if (!entry_flaw.empty()) return entry_flaw;
  if (!flaw.empty() || !has_entries || r.next() != kind::end) return "node";
  return into.before.cid.empty() || names_node_or_record(into.before.cid) ? std::string_view{} : "node";
}

std::string_view level_of_top(const tree_node& top, unsigned& level) {
  if (top.entries.empty()) return "empty_node";
  level = tree_height(top.entries.front().key);
  return {};
}

std::string_view check_place(const tree_node& node, unsigned level, key_range range) {
  if (node.blank()) return "empty_node";
  // Links lead one level down each time, so no way through a tree is endless, whatever its links say.
  if (level == 0 && (!node.before.empty() ||
                     std::ranges::any_of(node.entries, [](const tree_entry& e) { return !e.after.empty(); })))
    return "level";
  if (node.entries.empty()) return {};
  if (node.entries.front().key <= range.after) return "order";
  if (!range.before.empty() && node.entries.back().key >= range.before) return "order";
  const auto height = tree_height(node.entries.front().key);
  for (std::size_t i = 1; i < node.entries.size(); ++i) {
    if (tree_height(node.entries[i].key) != height) return "height";
  }
  return height == level ? std::string_view{} : "level";
}

std::string write_node(const tree_node& node) {
  std::string out;
  out.reserve(64 + node.entries.size() * 160);
  cbor::append_head(out, cbor::major::map, 2);
  append_name(out, "e");
  cbor::append_head(out, cbor::major::array, node.entries.size());
  std::string_view last;
  for (const auto& e : node.entries) {
    const auto prefix = shared_prefix(last, e.key);
    cbor::append_head(out, cbor::major::map, 4);
    append_name(out, "k");
    cbor::append_string(out, cbor::major::bytes, e.key.substr(prefix));
    append_name(out, "p");
    cbor::append_integer(out, static_cast<std::int64_t>(prefix));
    append_name(out, "t");
    append_link_or_null(out, e.after);
    append_name(out, "v");
    cbor::append_link(out, e.value);
    last = e.key;
  }
  append_name(out, "l");
  append_link_or_null(out, node.before);
  return out;
}

}  // namespace recordkv::atproto
