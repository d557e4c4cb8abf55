// Whole trees: heights, the written form, walks, and roots from leaves.
#include "tree_model.hpp"
#include "tree_node.hpp"

#include "recordkv/atproto/frame.hpp"

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

/// Walks the tree of a CAR and makes its root again from the leaves; returns them.
std::vector<tree_leaf> rebuilt(const car& blocks, std::string_view root, tree_keys keys) {
  const auto seen = test::walk([&](std::string_view cid) { return blocks.find(cid); }, root, keys);
  CHECK(seen.flaw == "");
  CHECK(std::ranges::is_sorted(seen.leaves, {}, &tree_leaf::path));
  CHECK(tree_root(seen.leaves) == root);
  return seen.leaves;
}

/// The same of a repo export, whose root is a commit.
std::size_t leaves_of_repo(const char* file) {
  const auto bytes = test::read_fixture(file);
  const auto blocks = car::read(bytes);
  REQUIRE(blocks.has_value());
  const auto head = read_signed_commit(blocks->find(blocks->root()));
  REQUIRE(head.has_value());
  const auto leaves = rebuilt(*blocks, head->data, tree_keys::paths);
  for (const auto& leaf : leaves) CHECK((blocks->find(leaf.cid).data() != nullptr));
  return leaves.size();
}

}  // namespace

TEST_CASE("heights of keys") {
  for (const auto& row : test::fixture_json("bluesky-social__atproto-interop-tests/mst/key_heights.json").as_array()) {
    const std::string key(row.at("key").as_string());
    INFO(key);
    CHECK(tree_height(key) == row.at("height").to_number<unsigned>());
  }
  const auto keys = test::fixture_lines("bluesky-social__atproto-interop-tests/mst/example_keys.txt");
  CHECK(keys.size() == 156);
  for (const auto& key : keys) CHECK(tree_height(key) == static_cast<unsigned>(key.at(1) - '0'));
}

TEST_CASE("the written form names the longest shared prefix") {
  const auto value = cid_of("v");
  for (const auto& row :
       test::fixture_json("bluesky-social__atproto-interop-tests/mst/common_prefix.json").as_array()) {
    const std::string left(row.at("left").as_string()), right(row.at("right").as_string());
    const auto shared = row.at("len").to_number<long>();
    INFO(left << " " << right);
    tree_node node;
    node.entries = {{left, value, {}}, {right, value, {}}};
    CHECK(write_node(node) == test::node_of(test::entry_json(left, 0, value) + "," +
                                            test::entry_json(right.substr(shared), shared, value)));
  }
}

TEST_CASE("the empty tree") {
  CHECK(cid_text(empty_tree()) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
  CHECK(tree_root({}) == empty_tree());
  CHECK(leaves_of_repo("at-microcosm__repo-stream/empty.car") == 0);
}

TEST_CASE("trees of the example keys") {
  const auto keys = test::fixture_lines("bluesky-social__atproto-interop-tests/mst/example_keys.txt");
  const auto value = cid_of("a record");
  test::leaf_map leaves;
  std::vector<tree_leaf> list;
  for (const auto& key : keys) {
    leaves[key] = value;
    list.push_back({key, value});
    const auto model = test::model_of(leaves);
    CHECK(tree_root(list) == model.root);
    CHECK((test::walk(model.blocks, model.root, tree_keys::any).leaves == list));
  }
}

TEST_CASE("64 trees of awkward shapes are walked and rebuilt") {
  std::set<std::string> roots;
  for (int i = 0; i < 64; ++i) {
    INFO(i);
    const auto bytes =
        test::read_fixture(fmt::format("DavidBuchanan314__mst-test-suite/cars/exhaustive/exhaustive_{:03}.car", i));
    const auto blocks = car::read(bytes);
    REQUIRE(blocks.has_value());
    rebuilt(*blocks, blocks->root(), tree_keys::any);
    roots.emplace(blocks->root());
  }
  CHECK(roots.size() == 64);
}

TEST_CASE("the trees of generated repos") {
  CHECK(leaves_of_repo("_derived/signed-chain/car/alice-3mn7zsqnvus2b.car") > 20);
  CHECK(leaves_of_repo("_derived/malformed/car/shuffled-blocks.car") > 0);
}

TEST_CASE("a tree with keys out of order is refused") {
  const auto bytes = test::read_fixture("_derived/malformed/car/mst-keys-out-of-order.car");
  const auto blocks = car::read(bytes);
  REQUIRE(blocks.has_value());
  const auto head = read_signed_commit(blocks->find(blocks->root()));
  REQUIRE(head.has_value());
  CHECK(test::walk([&](std::string_view cid) { return blocks->find(cid); }, head->data).flaw == "order");
}

TEST_CASE("recorded: the trees of two repos") {
  CHECK(leaves_of_repo("at-microcosm__repo-stream/tiny.car") == 8);
  CHECK(leaves_of_repo("bluesky-social__jetstream/repo-export/repo.car") == 23);
}
