// The ops of a commit, checked and undone.
#include "partial_tree.hpp"
#include "recordkv/atproto/frame.hpp"
#include "tree_model.hpp"

using namespace recordkv;
using namespace recordkv::atproto;
using test::create;
using test::key_of_height;
using test::remove;
using test::update;

namespace {

const std::string one = cid_of("record one"), two = cid_of("record two");

/// Made once, before and after a commit.
struct step {
  test::leaf_map before;
  std::vector<op_view> ops;
  test::model_tree now = {};

  void apply() {
    auto leaves = before;
    for (const auto& op : ops) {
      if (op.what == action::remove) {
        leaves.erase(std::string(op.path));
      } else {
        leaves[std::string(op.path)] = op.cid;
      }
    }
    now = test::model_of(leaves);
  }
  ops_proof proof(tree_keys keys = tree_keys::paths) const {
    const test::made_car blocks(now.blocks);
    return prove_ops(*blocks, now.root, ops, keys);
  }
};

/// The test fails unless undoing leads to the tree before.
void check_proven(step s, tree_keys keys = tree_keys::paths) {
  s.apply();
  const auto proof = s.proof(keys);
  CHECK(proof.ops_flaw == "");
  CHECK(proof.before_flaw == "");
  CHECK((proof.before == test::model_of(s.before).root));
}

const std::string low = key_of_height(0, 3), middle = key_of_height(1, 1), high = key_of_height(3);

}  // namespace

TEST_CASE("one op of each kind leads back to the tree before") {
  check_proven({{{low, one}}, {create(middle, one)}});
  check_proven({{{low, one}, {middle, one}}, {update(low, two, one)}});
  check_proven({{{low, one}, {middle, one}}, {remove(low, one)}});
}

TEST_CASE("the first and the last record of an account") {
  check_proven({{}, {create(low, one)}});
  check_proven({{}, {create(low, one), create(high, one)}});
  check_proven({{{high, one}}, {remove(high, one)}});
}

TEST_CASE("a tree grows and shrinks by several levels at once") {
  check_proven({{{low, one}}, {create(high, one)}});
  check_proven({{{low, one}, {high, one}}, {remove(high, one)}});
  check_proven({{{low, one}, {middle, one}, {high, one}}, {remove(high, one), remove(middle, one)}});
}

TEST_CASE("a tree that was exchanged as a whole passes through the empty tree") {
  check_proven({{{low, one}}, {remove(low, one), create(high, two)}});
  check_proven({{{low, one}}, {create(high, two), remove(low, one)}});
  check_proven({{{high, one}}, {create(low, two), remove(high, one)}});
}

TEST_CASE("an emptied tree does not keep its level") {
  const auto tree = test::model_of({{high, one}});
  const test::made_car blocks(tree.blocks);
  partial_tree partial(*blocks, tree.root, tree_keys::paths);
  CHECK(partial.open() == "");
  CHECK(partial.remove(high) == "");
  CHECK((partial.root() == empty_tree()));
  CHECK(partial.insert(low, two) == "");
  CHECK((partial.root() == test::model_of({{low, two}}).root));
  CHECK(partial.find(low).cid == two);
}

TEST_CASE("a commit without ops leaves the tree as it was, and needs no block") {
  const test::made_car none({});
  const auto proof = prove_ops(*none, one, {});
  CHECK(proof.ops_flaw == "");
  CHECK(proof.before == one);
}

TEST_CASE("ops that are not those of the tree") {
  step s{{{low, one}}, {create(middle, one)}};
  s.apply();
  const auto flaw = [&](std::vector<op_view> ops) {
    s.ops = std::move(ops);
    const auto proof = s.proof();
    CHECK(proof.before.empty());
    return std::string(proof.ops_flaw);
  };
  CHECK(flaw({create(middle, two)}) == "op_value");
  CHECK(flaw({create(high, one)}) == "op_value");
  CHECK(flaw({create(key_of_height(1, 2), one)}) == "op_value");
  CHECK(flaw({create(key_of_height(0, 2), one)}) == "op_value");
  CHECK(flaw({update(middle, two, one)}) == "op_value");
  CHECK(flaw({remove(middle, one)}) == "op_present");
  CHECK(flaw({remove(low, one)}) == "op_present");
  CHECK(flaw({create("no path", one)}) == "key");
  CHECK(flaw({remove(std::string(1025, 'a'), one)}) == "key");
}

TEST_CASE("an update or delete names the record before") {
  step s{{{low, one}, {middle, one}}, {update(low, two, {})}};
  s.apply();
  CHECK(s.proof().ops_flaw == "");
  CHECK(s.proof().before_flaw == "op_prev");
  s.ops = {remove(middle, {})};
  s.apply();
  CHECK(s.proof().ops_flaw == "");
  CHECK(s.proof().before_flaw == "op_prev");
}

TEST_CASE("another record before is another tree before") {
  step s{{{low, one}, {middle, one}}, {update(low, two, one)}};
  s.apply();
  s.ops = {update(low, two, two)};
  CHECK(s.proof().before_flaw == "");
  CHECK((s.proof().before != test::model_of(s.before).root));
}

TEST_CASE("one path in two ops") {
  step s{{{low, one}}, {create(middle, one), create(middle, one)}};
  s.apply();
  CHECK(s.proof().before_flaw == "op_value");
  s.ops = {remove(high, one), remove(high, one)};
  CHECK(s.proof().before_flaw == "op_present");
}

TEST_CASE("nodes that are not at hand") {
  step s{{}, {create(low, two)}};
  for (unsigned i = 4; i < 30; ++i) s.before[key_of_height(i % 3, i)] = one;
  s.before[high] = one;
  s.apply();
  const auto all = s.now.blocks;
  s.now.blocks.erase(s.now.root);
  CHECK(s.proof().ops_flaw == "not_provable");
  CHECK(s.proof().before_flaw == "missing_node");
  // With one node less, each answer is still right, or is none.
  std::size_t proven = 0, lacking = 0;
  for (const auto& [cid, block] : all) {
    s.now.blocks = all;
    s.now.blocks.erase(cid);
    const auto proof = s.proof();
    if (proof.ops_flaw.empty() && proof.before_flaw.empty()) {
      CHECK((proof.before == test::model_of(s.before).root));
      ++proven;
    } else {
      CHECK(proof.before_flaw == "missing_node");
      ++lacking;
    }
  }
  CHECK(proven > lacking);
  CHECK(lacking > 1);
}

TEST_CASE("a subtree that is not at hand becomes the root by its CID") {
  const auto top = key_of_height(3, 4);
  step s{{{low, one}, {key_of_height(2), one}}, {create(top, one)}};
  for (const auto& [key, cid] : s.before) REQUIRE(key < top);
  s.apply();
  std::erase_if(s.now.blocks, [&](const auto& b) { return b.first != s.now.root; });
  CHECK((s.proof().before == test::model_of(s.before).root));
}

TEST_CASE("commits of the interoperability tests: before, after, and what a proof holds") {
  const auto cases =
      test::fixture_json("bluesky-social__atproto-interop-tests/firehose/commit-proof-fixtures.json").as_array();
  CHECK(cases.size() == 6);
  for (const auto& c : cases) {
    const auto texts = [&](const char* name) {
      std::vector<std::string> out;
      for (const auto& item : c.at(name).as_array()) out.emplace_back(item.as_string());
      return out;
    };
    const auto binary = [&](const char* name) { return cid_from_text(c.at(name).as_string()).value(); };
    INFO(c.at("comment").as_string());
    const auto leaf = binary("leafValue");
    const auto adds = texts("adds"), dels = texts("dels");
    step s;
    for (const auto& key : texts("keys")) s.before[key] = leaf;
    for (const auto& key : adds) s.ops.push_back(create(key, leaf));
    for (const auto& key : dels) s.ops.push_back(remove(key, leaf));
    s.apply();
    CHECK((s.now.root == binary("rootAfterCommit")));
    test::block_map proof_blocks;
    for (const auto& text : texts("blocksInProof")) {
      const auto cid = cid_from_text(text).value();
      proof_blocks[cid] = s.now.blocks.at(cid);
    }
    s.now.blocks = proof_blocks;
    const auto proof = s.proof(tree_keys::any);
    CHECK(proof.ops_flaw == "");
    CHECK(proof.before_flaw == "");
    CHECK((proof.before == binary("rootBeforeCommit")));
  }
}
