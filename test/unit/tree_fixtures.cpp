// Trees of the fixtures that hold many steps: the suite's, a generated chain's, recorded frames'.
#include "recordkv/atproto/frame.hpp"
#include "tree_model.hpp"

#include <sstream>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

using leaf_list = std::vector<tree_leaf>;

/// A step from a tree to another, and the nodes that suffice to undo it.
struct suite_step {
  std::string before, after;
  std::vector<op_view> ops;  // in the order of their paths
  test::block_map blocks;
};

/// The ops that lead from one list of leaves to the other.
std::vector<op_view> difference(const leaf_list& from, const leaf_list& to) {
  std::map<std::string_view, op_view> ops;
  for (const auto& leaf : from) ops[leaf.path] = test::remove(leaf.path, leaf.cid);
  for (const auto& leaf : to) {
    auto& op = ops[leaf.path];
    op = op.prev.empty() ? test::create(leaf.path, leaf.cid) : test::update(leaf.path, leaf.cid, op.prev);
  }
  std::vector<op_view> out;
  for (const auto& [path, op] : ops) {
    if (op.cid != op.prev) out.push_back(op);
  }
  return out;
}

/// The 64 trees of the suite. A line of the list has two of them, and the last 6 characters of the nodes that suffice.
class suite {
 public:
  suite() {
    for (int i = 0; i < 64; ++i) {
      const auto number = fmt::format("{:03}", i);
      const auto bytes =
          test::read_fixture(fmt::format("DavidBuchanan314__mst-test-suite/cars/exhaustive/exhaustive_{}.car", number));
      const auto read = car::read(bytes).value();
      const auto leaves = test::walk([&](auto cid) { return read.find(cid); }, read.root(), tree_keys::any).leaves;
      trees_[number] = {std::string(read.root()), leaves};
      for (const auto& b : read.blocks()) blocks_[std::string(b.cid)] = b.data;
    }
    for (const auto& [cid, block] : blocks_) by_end_[cid_text(cid).substr(53)] = cid;
  }

  suite_step step(const std::string& line) const {
    std::istringstream words(line);
    std::string from, to, end;
    words >> from >> to;
    suite_step out{trees_.at(from).root, trees_.at(to).root, difference(trees_.at(from).leaves, trees_.at(to).leaves)};
    while (words >> end) out.blocks[by_end_.at(end)] = blocks_.at(by_end_.at(end));
    return out;
  }
  const test::block_map& blocks() const { return blocks_; }

 private:
  struct tree {
    std::string root;
    leaf_list leaves;
  };
  std::map<std::string, tree> trees_;
  test::block_map blocks_;
  std::map<std::string, std::string> by_end_;
};

const char* const suite_steps = "_derived/mst-test-suite/proof_nodes.txt";

struct proven_commit {
  ops_proof proof;
  std::string prev_data;
};
/// Undoes the ops of a commit frame; nullopt for other frames.
std::optional<proven_commit> prove_frame(std::string_view frame) {
  const auto parts = split_frame(frame);
  if (!parts || kind_of(parts->type) != event_kind::commit) return std::nullopt;
  const auto message = read_commit(parts->payload);
  if (!message) return std::nullopt;
  const auto blocks = car::read(message->blocks).value();
  const auto head = read_signed_commit(blocks.find(blocks.root())).value();
  return proven_commit{prove_ops(blocks, head.data, message->ops), std::string(message->prev_data)};
}

}  // namespace

TEST_CASE("1366 steps between the trees of the suite are undone with the nodes that suffice") {
  const suite all;
  const auto lines = test::fixture_lines(suite_steps);
  CHECK(lines.size() == 1366);
  for (const auto& line : lines) {
    INFO(line);
    const auto s = all.step(line);
    const test::made_car blocks(s.blocks);
    const auto proof = prove_ops(*blocks, s.after, s.ops, tree_keys::any);
    CHECK(proof.ops_flaw == "");
    CHECK(proof.before_flaw == "");
    CHECK((proof.before == s.before));
  }
}

TEST_CASE("each step between two trees of the suite, with all nodes at hand") {
  const suite all;
  const test::made_car blocks(all.blocks());
  for (const auto& line : test::fixture_lines(suite_steps)) {
    INFO(line);
    const auto there = all.step(line), back = all.step(line.substr(4, 3) + " " + line.substr(0, 3));
    CHECK((prove_ops(*blocks, there.after, there.ops, tree_keys::any).before == there.before));
    CHECK((prove_ops(*blocks, back.after, back.ops, tree_keys::any).before == back.before));
  }
}

TEST_CASE("each commit of the generated chain leads back to the tree that it names") {
  const auto frames = test::fixture_frames("_derived/signed-chain/stream.bin");
  REQUIRE(frames.size() == 63);
  std::size_t commits = 0, first = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    INFO("frame " << i);
    const auto commit = prove_frame(frames[i]);
    if (!commit) continue;
    ++commits;
    CHECK(commit->proof.ops_flaw == "");
    CHECK(commit->proof.before_flaw == "");
    if (commit->prev_data.empty()) {
      ++first;
      CHECK((commit->proof.before == empty_tree()));
    } else {
      CHECK((commit->proof.before == commit->prev_data));
    }
  }
  CHECK(commits > 40);
  CHECK(first == 3);
}

TEST_CASE("damaged frames whose ops are not those of the tree") {
  const auto of = [](const char* file) {
    return prove_frame(test::read_fixture(std::string("_derived/malformed/frame/") + file)).value();
  };
  for (const char* file : {"wrong-prevdata.bin", "ops-missing-one.bin"}) {
    const auto commit = of(file);
    CHECK(commit.proof.ops_flaw == "");
    CHECK(commit.proof.before_flaw == "");
    CHECK((commit.proof.before != commit.prev_data));
  }
  const auto only_signature = of("sig-bit-flip.bin");
  CHECK((only_signature.proof.before == only_signature.prev_data));
}

TEST_CASE("recorded: the commits of 102 frames lead back to the trees that they name") {
  const auto frames = test::fixture_frames("bluesky-social__jetstream/firehose/frames.bin");
  REQUIRE(frames.size() == 102);
  std::size_t commits = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    INFO("frame " << i);
    const auto commit = prove_frame(frames[i]);
    if (!commit) continue;
    ++commits;
    CHECK(commit->proof.ops_flaw == "");
    CHECK(commit->proof.before_flaw == "");
    CHECK((commit->proof.before == commit->prev_data));
  }
  CHECK(commits == 100);
}
