// Each rule of a valid tree, with a tree that breaks only this rule.
#include "tree_model.hpp"

using namespace recordkv;
using namespace recordkv::atproto;
using test::entry_json;
using test::key_of_height;
using test::node_of;

namespace {

const std::string value = cid_of("a record");

/// Nodes with any fault, and what a walk says of the tree below one of them. The same word must come from a commit that
/// touches the faulty part of the tree.
struct forest {
  test::block_map blocks;

  std::string keep(const std::string& block) {
    auto cid = cid_of(block);
    blocks[cid] = block;
    return cid;
  }
  std::string leaf_node(const std::string& key) { return keep(node_of(entry_json(key, 0, value))); }
  std::string flaw(const std::string& root, tree_keys keys = tree_keys::paths) const {
    return test::walk(blocks, root, keys).flaw;
  }
  std::string flaw_of_op(const std::string& root, std::string_view path) const {
    const test::made_car car(blocks);
    return std::string(prove_ops(*car, root, {test::remove(path, value)}).ops_flaw);
  }
};

std::string flaw_of(const std::string& block, tree_keys keys = tree_keys::paths) {
  forest f;
  return f.flaw(f.keep(block), keys);
}

/// Two keys of height 0 in ascending order. They share all but their last characters.
const std::string first = key_of_height(0, 0), second = key_of_height(0, 1);
const std::string tail = second.substr(second.size() - 1);
const auto shared = static_cast<long>(second.size() - 1);

}  // namespace

TEST_CASE("a node has exactly its fields, of their types, in canonical form") {
  REQUIRE(first.substr(0, first.size() - 1) == second.substr(0, second.size() - 1));
  const auto entries = entry_json(first, 0, value) + "," + entry_json(tail, shared, value);
  CHECK(flaw_of(node_of(entries)) == "");
  CHECK(flaw_of(node_of(entries) + '\xF6') == "node");
  CHECK(flaw_of("") == "node");
  CHECK(flaw_of("\x80") == "node");
  CHECK(flaw_of(test::cbor(R"({"l":null})")) == "node");
  CHECK(flaw_of(test::cbor(R"({"e":null,"l":null})")) == "node");
  const auto e = fmt::format(R"("e":[{}])", entries);
  CHECK(flaw_of(test::cbor("{" + e + "}")) == "node");
  CHECK(flaw_of(test::cbor("{" + e + R"(,"l":null,"x":1})")) == "node");
  CHECK(flaw_of(test::cbor("{" + e + R"(,"l":7})")) == "node");
  auto backwards = test::from_hex("a2 616c f6 6165") + node_of(entries).substr(3);  // "l" before "e"
  backwards.resize(backwards.size() - 3);
  CHECK(flaw_of(backwards) == "node");
}

TEST_CASE("an entry has exactly its fields, of their types") {
  const auto k = test::bytes_json(first), v = test::link_json(cid_text(value));
  const auto entry = [](const std::string& json) { return flaw_of(node_of(json)); };
  CHECK(entry(fmt::format(R"({{"k":{},"p":0,"t":null,"v":{}}})", k, v)) == "");
  CHECK(entry(fmt::format(R"({{"k":"{}","p":0,"t":null,"v":{}}})", first, v)) == "node");
  CHECK(entry(fmt::format(R"({{"k":{},"p":"0","t":null,"v":{}}})", k, v)) == "node");
  CHECK(entry(fmt::format(R"({{"k":{},"t":null,"v":{}}})", k, v)) == "node");
  CHECK(entry(fmt::format(R"({{"p":0,"t":null,"v":{}}})", v)) == "node");
  CHECK(entry(fmt::format(R"({{"k":{},"p":0,"v":{}}})", k, v)) == "node");
  CHECK(entry(fmt::format(R"({{"k":{},"p":0,"t":null}})", k)) == "node");
  CHECK(entry(fmt::format(R"({{"k":{},"p":0,"t":null,"v":null}})", k)) == "node");
  CHECK(entry(fmt::format(R"({{"k":{},"p":0,"t":null,"v":{},"x":0}})", k, v)) == "node");
  CHECK(entry("7") == "node");
}

TEST_CASE("links are dag-cbor CIDs") {
  const auto raw = cid_of("a record", codec::raw);
  const auto other_hash = test::from_hex("01 71 13 40") + std::string(64, 'd');
  for (const auto& bad : {raw, other_hash}) {
    CHECK(flaw_of(node_of(entry_json(first, 0, bad))) == "node");
    CHECK(flaw_of(node_of(entry_json(first, 0, value, bad))) == "node");
    CHECK(flaw_of(node_of(entry_json(first, 0, value), bad)) == "node");
  }
}

TEST_CASE("a key names the longest prefix that it shares with the one before") {
  CHECK(flaw_of(node_of(entry_json(first, 1, value))) == "prefix");
  CHECK(flaw_of(node_of(entry_json(first, -1, value))) == "prefix");
  const auto pair = [](const std::string& e) { return flaw_of(node_of(entry_json(first, 0, value) + "," + e)); };
  CHECK(pair(entry_json(second.substr(3), 3, value)) == "prefix");
  CHECK(pair(entry_json(second, 0, value)) == "prefix");
  CHECK(pair(entry_json("x", static_cast<long>(first.size()) + 1, value)) == "prefix");
}

TEST_CASE("keys ascend within a node") {
  const auto pair = [](const std::string& last, const std::string& e) {
    return flaw_of(node_of(entry_json(last, 0, value) + "," + e));
  };
  CHECK(pair(second, entry_json(first.substr(first.size() - 1), shared, value)) == "order");
  CHECK(pair(first, entry_json("", static_cast<long>(first.size()), value)) == "order");
  CHECK(pair(first, entry_json("", 3, value)) == "order");  // shorter than the one before
}

TEST_CASE("a byte above 127 counts as greater") {
  std::string low, high;
  for (unsigned i = 0; low.empty() || high.empty(); ++i) {
    const auto a = fmt::format("a{}", i), b = fmt::format("\xC3\xA9{}", i);
    if (low.empty() && test::model_height(a) == 0) low = a;
    if (high.empty() && test::model_height(b) == 0) high = b;
  }
  CHECK(flaw_of(node_of(entry_json(low, 0, value) + "," + entry_json(high, 0, value)), tree_keys::any) == "");
  CHECK(flaw_of(node_of(entry_json(high, 0, value) + "," + entry_json(low, 0, value)), tree_keys::any) == "order");
}

TEST_CASE("keys ascend over the whole walk") {
  const auto high = key_of_height(1, 1);
  std::string left, right;  // of height 0
  for (unsigned i = 0; right.empty(); ++i) {
    const auto key = key_of_height(0, i);
    (key < high ? left : right) = key;
  }
  forest f;
  const auto good = f.keep(node_of(entry_json(high, 0, value, f.leaf_node(right)), f.leaf_node(left)));
  CHECK(f.flaw(good) == "");
  const auto left_too_great = f.keep(node_of(entry_json(high, 0, value), f.leaf_node(right)));
  CHECK(f.flaw(left_too_great) == "order");
  CHECK(f.flaw_of_op(left_too_great, left) == "order");
  const auto right_too_small = f.keep(node_of(entry_json(high, 0, value, f.leaf_node(left))));
  CHECK(f.flaw(right_too_small) == "order");
  CHECK(f.flaw_of_op(right_too_small, right) == "order");
}

TEST_CASE("the bound of a key reaches below nodes that have no key on that side") {
  const auto high = key_of_height(2, 1);
  std::string left, right;  // of height 0
  for (unsigned i = 0; right.empty(); ++i) {
    const auto key = key_of_height(0, i);
    (key < high ? left : right) = key;
  }
  forest f;
  const auto over = [&](const std::string& key) { return f.keep(node_of("", f.leaf_node(key))); };
  CHECK(f.flaw(f.keep(node_of(entry_json(high, 0, value, over(right)), over(left)))) == "");
  CHECK(f.flaw(f.keep(node_of(entry_json(high, 0, value), over(right)))) == "order");
  CHECK(f.flaw(f.keep(node_of(entry_json(high, 0, value, over(left))))) == "order");
  // The same subtree on both sides: a reader that counts nodes would pass it often.
  CHECK(f.flaw(f.keep(node_of(entry_json(high, 0, value, over(left)), over(left)))) == "order");
}

TEST_CASE("all keys of a node have one height") {
  const auto higher = key_of_height(1);
  const auto& lower = higher < second ? second : key_of_height(0, 40);
  REQUIRE(higher < lower);
  std::size_t same = 0;
  while (higher[same] == lower[same]) ++same;
  const auto mixed =
      entry_json(higher, 0, value) + "," + entry_json(lower.substr(same), static_cast<long>(same), value);
  CHECK(flaw_of(node_of(mixed)) == "height");
  forest f;
  CHECK(f.flaw_of_op(f.keep(node_of(mixed)), first) == "height");
}

TEST_CASE("a child is exactly one level lower") {
  const auto high = key_of_height(2, 1);
  std::string low, middle;
  for (unsigned i = 0; low.empty(); ++i) low = key_of_height(0, i) < high ? key_of_height(0, i) : "";
  for (unsigned i = 0; middle.empty(); ++i) middle = key_of_height(1, i) < high ? key_of_height(1, i) : "";
  forest f;
  const auto top = [&](const std::string& child) { return f.keep(node_of(entry_json(high, 0, value), child)); };
  CHECK(f.flaw(top(f.leaf_node(middle))) == "");
  CHECK(f.flaw(top(f.leaf_node(low))) == "level");
  CHECK(f.flaw_of_op(top(f.leaf_node(low)), low) == "level");
  CHECK(f.flaw(top(f.keep(node_of("", f.leaf_node(low))))) == "");
  CHECK(f.flaw(top(f.keep(node_of("", f.leaf_node(middle))))) == "level");
  const auto below_the_lowest = f.keep(node_of(entry_json(second, 0, value), f.leaf_node(first)));
  CHECK(f.flaw(below_the_lowest) == "level");
  CHECK(f.flaw_of_op(below_the_lowest, first) == "level");
  CHECK(f.flaw(f.keep(node_of(entry_json(second, 0, value, f.leaf_node(first))))) == "level");
}

TEST_CASE("no node is empty, and the top one has a key") {
  forest f;
  const auto empty = f.keep(node_of(""));
  CHECK(empty == empty_tree());
  CHECK(f.flaw(empty) == "");
  const auto high = key_of_height(1);
  CHECK(f.flaw(f.keep(node_of("", f.leaf_node(first)))) == "empty_node");
  CHECK(f.flaw(f.keep(node_of(entry_json(high, 0, value), empty))) == "empty_node");
  CHECK(f.flaw(f.keep(node_of(entry_json(high, 0, value, empty)))) == "empty_node");
  CHECK(f.flaw_of_op(f.keep(node_of("", f.leaf_node(first))), first) == "empty_node");
  CHECK(f.flaw_of_op(f.keep(node_of(entry_json(high, 0, value), empty)), first) == "empty_node");
}

TEST_CASE("which keys a tree may have") {
  const auto of_key = [](const std::string& key, tree_keys keys = tree_keys::paths) {
    return flaw_of(node_of(entry_json(key, 0, value)), keys);
  };
  for (const std::string bad : {"a", "com.example.t", "com.example.t/", "/a", "example/a", "com.example.t/a/b",
                                "com.example.t/.", "com.example.t/a b", "com.example.t/\xC3\xA9"}) {
    INFO(bad);
    CHECK(of_key(bad) == "key");
    CHECK(of_key(bad, tree_keys::any) == "");
  }
  CHECK(of_key("com.example.t/a:~-_.") == "");
  CHECK(of_key("") == "key");
  CHECK(of_key("", tree_keys::any) == "key");
  CHECK(of_key(std::string(1024, 'a'), tree_keys::any) == "");
  CHECK(of_key(std::string(1025, 'a'), tree_keys::any) == "key");
}

TEST_CASE("a missing node is no malformed one") {
  forest f;
  const auto root = f.keep(node_of(entry_json(key_of_height(1), 0, value), cid_of("elsewhere")));
  const auto find = [&](std::string_view cid) {
    return cid == root ? std::string_view(f.blocks.at(root)) : std::string_view{};
  };
  const auto done = walk_tree(find, root, tree_keys::paths, [](std::string_view, std::string_view) {});
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().code == errc::not_found);
  CHECK(done.error().text == "missing_node");
  CHECK(f.flaw(cid_of("nothing")) == "missing_node");
}

TEST_CASE("a source of blocks that leads in a circle ends the walk") {
  const auto high = key_of_height(3);
  const auto link = cid_of("anywhere");
  const auto top = node_of(entry_json(high, 0, value), link), keyless = node_of("", link);
  const auto always = [&](const std::string& node) {
    return test::walk([&](std::string_view cid) { return std::string_view(cid == link ? node : top); }, "root").flaw;
  };
  CHECK(always(top) == "order");
  CHECK(always(keyless) == "level");
}

TEST_CASE("the source of blocks may use its memory again") {
  test::leaf_map leaves;
  for (unsigned i = 0; i < 60; ++i) leaves[key_of_height(i % 4, i / 4)] = value;
  const auto tree = test::model_of(leaves);
  std::string memory;
  const auto find = [&](std::string_view cid) {
    memory = tree.blocks.at(std::string(cid));
    return std::string_view(memory);
  };
  CHECK(test::walk(find, tree.root).leaves.size() == leaves.size());
}
