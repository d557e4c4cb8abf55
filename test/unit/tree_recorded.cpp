// Trees of the fixtures that hold many steps: the differences of the suite, generated chains, recorded frames.
#include "tree_model.hpp"

#include "recordkv/atproto/frame.hpp"

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

namespace json = boost::json;

/// A binary CID, or nothing for null.
std::string binary(const json::value& cid) {
  return cid.is_null() ? std::string{} : cid_from_text(cid.as_string()).value();
}

/// One line of the suite's list: a step from a tree to another, and the nodes that suffice to undo it.
struct suite_step {
  std::string before, after;
  std::vector<std::string> texts;  // what the ops refer to
  std::vector<op_view> ops;
  test::block_map blocks;
};

class suite {
 public:
  suite() {
    for (int i = 0; i < 64; ++i) {
      const auto name = fmt::format("exhaustive_{:03}.car", i);
      const auto bytes = test::read_fixture("DavidBuchanan314__mst-test-suite/cars/exhaustive/" + name);
      const auto read = car::read(bytes).value();
      roots_["./cars/exhaustive/" + name] = read.root();
      for (const auto& b : read.blocks()) blocks_[std::string(b.cid)] = b.data;
    }
  }

  suite_step step(const json::value& line) const {
    suite_step out;
    out.before = roots_.at(std::string(line.at("inputs").at("mst_a").as_string()));
    out.after = roots_.at(std::string(line.at("inputs").at("mst_b").as_string()));
    const auto& ops = line.at("results").at("record_ops").as_array();
    out.texts.reserve(3 * ops.size());
    for (const auto& op : ops) {
      const auto& path = out.texts.emplace_back(op.at("rpath").as_string());
      const auto& prev = out.texts.emplace_back(binary(op.at("old_value")));
      const auto& cid = out.texts.emplace_back(binary(op.at("new_value")));
      const auto what = cid.empty() ? action::remove : prev.empty() ? action::create : action::update;
      out.ops.push_back({what, path, cid, prev});
    }
    for (const auto& cid : line.at("results").at("inductive_proof_nodes").as_array()) {
      out.blocks[binary(cid)] = blocks_.at(binary(cid));
    }
    return out;
  }
  const test::block_map& blocks() const { return blocks_; }

 private:
  std::map<std::string, std::string> roots_;
  test::block_map blocks_;
};

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

TEST_CASE("suite: 1366 steps are undone with the nodes that suffice") {
  const suite all;
  const auto lines = test::fixture_lines("DavidBuchanan314__mst-test-suite/mst-diff.jsonl");
  CHECK(lines.size() == 1366);
  std::size_t steps = 0;
  for (const auto& line : lines) {
    const auto parsed = json::parse(line);
    INFO(parsed.at("name").as_string());
    const auto s = all.step(parsed);
    const test::made_car blocks(s.blocks);
    const auto proof = prove_ops(*blocks, s.after, s.ops, tree_keys::any);
    CHECK(proof.ops_flaw == "");
    CHECK(proof.before_flaw == "");
    CHECK((proof.before == s.before));
    steps += s.ops.empty() ? 0 : 1;
  }
  CHECK(steps > 1000);
}

TEST_CASE("suite: the same steps with all nodes at hand, undone and done again") {
  const suite all;
  const test::made_car blocks(all.blocks());
  for (const auto& line : test::fixture_lines("DavidBuchanan314__mst-test-suite/mst-diff.jsonl")) {
    const auto parsed = json::parse(line);
    INFO(parsed.at("name").as_string());
    auto s = all.step(parsed);
    CHECK((prove_ops(*blocks, s.after, s.ops, tree_keys::any).before == s.before));
    for (auto& op : s.ops) {
      std::swap(op.cid, op.prev);
      op.what = op.cid.empty() ? action::remove : op.prev.empty() ? action::create : action::update;
    }
    CHECK((prove_ops(*blocks, s.before, s.ops, tree_keys::any).before == s.after));
  }
}

TEST_CASE("each commit of the generated chain leads back to the tree that it names") {
  const auto manifest = test::fixture_json("_derived/signed-chain/manifest.json").as_object();
  const auto frames = test::fixture_frames("_derived/signed-chain/stream.bin");
  const auto& cases = manifest.at("frames").as_array();
  REQUIRE(cases.size() == frames.size());
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
