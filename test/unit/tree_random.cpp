// Random trees and random commits, compared with the model. A failure names the seed of its case.
#include "partial_tree.hpp"
#include "tree_model.hpp"

#include <random>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

constexpr unsigned cases = 2000;  // of each test

/// Keys of all heights up to 4 alike: half of a tree's nodes have none of their own, or one. No path among them is
/// needed, so that short and long prefixes come up.
std::vector<std::string> make_keys() {
  std::mt19937 chance(7);
  std::vector<std::string> out;
  std::array<int, 5> left{12, 12, 10, 8, 6};
  const auto total = 48u;
  while (out.size() < total) {
    auto key =
        fmt::format("{}/{}", std::string(1 + chance() % 3, static_cast<char>('a' + chance() % 3)), chance() % 100'000);
    const auto height = test::model_height(key);
    if (height < left.size() && left[height]-- > 0) out.push_back(std::move(key));
  }
  std::ranges::sort(out);
  return out;
}

class random_case {
 public:
  explicit random_case(unsigned seed) : chance_(seed) {
    static const auto keys = make_keys();
    static const std::array<std::string, 3> values{cid_of("one"), cid_of("two"), cid_of("three")};
    const auto density = below(5);
    const auto& only = keys[below(keys.size())];
    if (density == 0) before_[only] = values[0];
    for (const auto& key : keys) {
      if (below(4) < density) before_[key] = values[below(3)];
    }
    after_ = before_;
    if (density == 0) change(only, values);
    for (auto n = 1 + below(seed % 7 == 0 ? 40 : 5); n > 0; --n) change(keys[below(keys.size())], values);
    if (below(2) == 0) std::ranges::shuffle(ops_, chance_);
  }

  const test::leaf_map& before() const { return before_; }
  const test::leaf_map& after() const { return after_; }
  const std::vector<op_view>& ops() const { return ops_; }
  std::vector<op_view> opposite() const {
    auto out = ops_;
    for (auto& op : out) {
      std::swap(op.cid, op.prev);
      op.what = op.cid.empty() ? action::remove : op.prev.empty() ? action::create : action::update;
    }
    return out;
  }
  std::size_t below(std::size_t n) { return chance_() % n; }

 private:
  void change(const std::string& key, const std::array<std::string, 3>& values) {
    if (std::ranges::count(ops_, std::string_view(key), &op_view::path) != 0) return;
    const auto old = before_.find(key);
    const auto& next = values[below(3)];
    if (old == before_.end()) {
      ops_.push_back(test::create(key, next));
      after_[key] = next;
    } else if (below(3) == 0) {
      ops_.push_back(test::update(key, next, old->second));
      after_[key] = next;
    } else {
      ops_.push_back(test::remove(key, old->second));
      after_.erase(key);
    }
  }

  std::mt19937 chance_;
  test::leaf_map before_, after_;
  std::vector<op_view> ops_;
};

void check_whole(const test::leaf_map& leaves, const test::model_tree& tree) {
  std::vector<tree_leaf> list;
  for (const auto& [key, value] : leaves) list.push_back({key, value});
  CHECK((tree_root(list) == tree.root));
  CHECK((test::walk(tree.blocks, tree.root, tree_keys::any).leaves == list));
}

void check_step(const test::model_tree& from, const test::model_tree& to, const std::vector<op_view>& ops) {
  const test::made_car blocks(to.blocks);
  const auto proof = prove_ops(*blocks, to.root, ops, tree_keys::any);
  CHECK(proof.ops_flaw == "");
  CHECK(proof.before_flaw == "");
  CHECK((proof.before == from.root));
}

std::string_view change(partial_tree& tree, const op_view& op) {
  switch (op.what) {
    case action::create: return tree.insert(op.path, op.cid);
    case action::update: return tree.replace(op.path, op.cid);
    case action::remove: return tree.remove(op.path);
  }
  return "action";
}

}  // namespace

TEST_CASE("random commits are undone, and done again") {
  for (unsigned seed = 0; seed < cases; ++seed) {
    INFO("seed " << seed);
    const random_case c(seed);
    const auto before = test::model_of(c.before()), after = test::model_of(c.after());
    check_whole(c.before(), before);
    check_step(before, after, c.ops());
    check_step(after, before, c.opposite());
  }
}

TEST_CASE("changes in any order lead to the same tree, also through the empty one") {
  std::size_t emptied = 0;
  for (unsigned seed = 0; seed < cases; ++seed) {
    INFO("seed " << seed);
    const random_case c(seed);
    const auto before = test::model_of(c.before()), after = test::model_of(c.after());
    const test::made_car blocks(before.blocks);
    partial_tree tree(*blocks, before.root, tree_keys::any);
    CHECK(tree.open() == "");
    auto keys = c.before().size();
    for (const auto& op : c.ops()) {
      CHECK(tree.find(op.path).cid == op.prev);
      CHECK(change(tree, op) == "");
      CHECK(tree.find(op.path).cid == op.cid);
      keys += op.prev.empty() ? 1 : 0;
      keys -= op.cid.empty() ? 1 : 0;
      if (keys == 0) {
        ++emptied;
        CHECK((tree.root() == empty_tree()));
      }
    }
    CHECK((tree.root() == after.root));
  }
  CHECK(emptied > 20);
}

TEST_CASE("random commits with some nodes: a right answer or none") {
  std::size_t proven = 0, none = 0;
  for (unsigned seed = 0; seed < cases; ++seed) {
    INFO("seed " << seed);
    random_case c(seed);
    const auto before = test::model_of(c.before());
    auto after = test::model_of(c.after());
    const auto share = 2 + c.below(12);
    std::erase_if(after.blocks, [&](const auto& b) { return b.first != after.root && c.below(share) == 0; });
    const test::made_car blocks(after.blocks);
    const auto proof = prove_ops(*blocks, after.root, c.ops(), tree_keys::any);
    if (proof.before_flaw.empty()) {
      // A node without keys that is not at hand may be taken for the root. It is the root of no tree.
      CHECK((proof.before == before.root || after.keyless.contains(proof.before)));
      CHECK(proof.ops_flaw == "");
      ++proven;
    } else {
      CHECK(proof.before_flaw == "missing_node");
      CHECK((proof.ops_flaw == "" || proof.ops_flaw == "not_provable"));
      CHECK(proof.before.empty());
      ++none;
    }
  }
  CHECK(proven > cases / 4);
  CHECK(none > cases / 4);
}

TEST_CASE("random commits with one op left out or one value exchanged lead elsewhere") {
  std::size_t noticed = 0;
  for (unsigned seed = 0; seed < cases; ++seed) {
    INFO("seed " << seed);
    random_case c(seed);
    const auto before = test::model_of(c.before()), after = test::model_of(c.after());
    auto ops = c.ops();
    const auto at = c.below(ops.size());
    const bool same = ops[at].cid == ops[at].prev;  // an update to the same record
    const auto other = cid_of("another record");
    if (c.below(2) == 0) {
      ops.erase(ops.begin() + static_cast<std::ptrdiff_t>(at));
      if (same) continue;
    } else {
      (ops[at].cid.empty() || (c.below(2) == 0 && !ops[at].prev.empty()) ? ops[at].prev : ops[at].cid) = other;
    }
    const test::made_car blocks(after.blocks);
    const auto proof = prove_ops(*blocks, after.root, ops, tree_keys::any);
    CHECK((proof.before != before.root));
    ++noticed;
  }
  CHECK(noticed > cases / 2);
}
