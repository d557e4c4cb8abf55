// Whole exports: what is read from a good one, and the word for each fault.
#include "repo_export_support.hpp"

#include <algorithm>

using namespace recordkv;
using namespace recordkv::atproto;
using test::car_header;
using test::commit_of;
using test::content_of;
using test::entry_json;
using test::export_flaw;
using test::export_parts;
using test::key_of_height;
using test::node_of;
using test::note;
using test::some_content;
using test::tree_agrees;

namespace {

constexpr auto did = test::exported_did, rev = test::exported_rev;

std::string value() { return cid_of(note(0)); }

/// An export of one tree that is given by its nodes, the top one first. Each path leads to the same record.
std::string flaw_of_tree(const std::vector<std::string>& nodes) {
  export_parts p;
  p.keep(note(0));
  for (const auto& node : nodes) p.keep(node);
  p.commit = commit_of(cid_of(nodes.front()));
  return export_flaw(p.car());
}

}  // namespace

TEST_CASE("an export gives its commit, and each record with its path") {
  const auto content = some_content();
  const export_parts p(content);
  const auto bytes = p.car();
  auto read = repo_export::read(bytes, did);
  REQUIRE(read.has_value());
  const auto moved = std::move(*read);  // the views stay valid
  CHECK(moved.rev() == rev);
  CHECK(moved.data() == cid_text(p.data));
  CHECK(moved.commit() == cid_text_of(p.commit));
  CHECK(moved.car_bytes() == bytes.size());
  CHECK(content_of(moved) == content);
  CHECK(moved.records().size() == content.size());
  CHECK(std::ranges::is_sorted(moved.records(), {}, &exported_record::path));
  CHECK(std::ranges::all_of(moved.records(), [](const auto& r) { return names(r.cid, r.data); }));
  CHECK(tree_agrees(moved));
}

TEST_CASE("an export of an empty repo has no records") {
  const export_parts p(std::map<std::string, std::string>{});
  CHECK((p.data == empty_tree()));
  const auto read = repo_export::read(p.car(), did);
  REQUIRE(read.has_value());
  CHECK(read->records().empty());
  CHECK(export_flaw(p.car_without(p.data)) == "not_found: missing_node");
}

TEST_CASE("export: without any one of its blocks it is torn") {
  const export_parts p(some_content());
  REQUIRE(p.nodes.size() > 10);
  for (const auto& cid : p.nodes) CHECK(export_flaw(p.car_without(cid)) == "not_found: missing_node");
  CHECK(p.records.size() == 40);
  for (const auto& cid : p.records) CHECK(export_flaw(p.car_without(cid)) == "not_found: missing_record");
  auto rootless = car_header(cid_of(p.commit));
  CHECK(export_flaw(rootless) == "not_found: missing_commit");
  for (const auto& [cid, block] : p.blocks) rootless += test::car_section(cid, block);
  CHECK(export_flaw(rootless) == "not_found: missing_commit");
  CHECK(export_flaw(rootless + test::car_section(cid_of(p.commit), p.commit)) == "");
}

TEST_CASE("export: a block of the same bytes under another codec is another block") {
  const export_parts p({{key_of_height(0), note(1)}});
  const auto torn = p.car_without(p.records.at(0));
  CHECK(export_flaw(torn + test::car_section(cid_of(note(1), codec::raw), note(1))) == "not_found: missing_record");
  CHECK(export_flaw(torn + test::car_section(cid_of(note(1)), note(1))) == "");
}

TEST_CASE("export: two paths may have the same record") {
  const std::map<std::string, std::string> content{
      {key_of_height(0), note(1)}, {key_of_height(1), note(2)}, {key_of_height(0, 9), note(1)}};
  const export_parts p(content);
  CHECK(p.records.size() == 2);
  const auto read = repo_export::read(p.car(), did);
  REQUIRE(read.has_value());
  CHECK(read->records().size() == 3);
  CHECK(content_of(*read) == content);
}

TEST_CASE("export: blocks may come in any order, more than once, and beside others") {
  const auto content = some_content();
  const export_parts p(content);
  auto sections = std::vector{test::car_section(cid_of(p.commit), p.commit)};
  for (const auto& [cid, block] : p.blocks) sections.insert(sections.end(), 2, test::car_section(cid, block));
  for (const auto& block :
       {std::string("extra"), std::string(), commit_of(p.data, "did:web:other.example"), note(99)}) {
    sections.push_back(test::car_section(cid_of(block), block));
    sections.push_back(test::car_section(cid_of(block, codec::raw), block));
  }
  for (int turn = 0; turn < 20; ++turn) {
    std::ranges::rotate(sections, sections.begin() + 7);
    auto bytes = car_header(cid_of(p.commit));
    for (const auto& s : sections) bytes += s;
    const auto read = repo_export::read(bytes, did);
    REQUIRE(read.has_value());
    CHECK(content_of(*read) == content);
    CHECK(read->commit() == cid_text_of(p.commit));
  }
}

TEST_CASE("export: a record may be any block") {
  const std::map<std::string, std::string> content{{key_of_height(0), ""}, {key_of_height(1), "no CBOR"}};
  const auto read = repo_export::read(export_parts(content).car(), did);
  REQUIRE(read.has_value());
  CHECK(content_of(*read) == content);
}

TEST_CASE("export: the words of a CAR that cannot be read") {
  const auto good = export_parts(some_content()).car();
  auto flipped = good;
  flipped.back() ^= 1;
  CHECK(export_flaw(flipped) == "malformed: cid_mismatch");
  CHECK(export_flaw("") == "malformed: car_header");
  CHECK(export_flaw(good + '\0') == "malformed: car_length");
  CHECK(export_flaw(good + "\x01\x01") == "malformed: cid_form");
  const auto rootless = test::cbor(R"({"roots":[],"version":1})");
  CHECK(export_flaw(test::car_with_header(rootless, {})) == "malformed: no_roots");
}

TEST_CASE("export: which root is no signed commit") {
  export_parts p({{key_of_height(0), note(1)}});
  const auto with = [&](const std::string& commit) {
    p.commit = commit;
    return export_flaw(p.car());
  };
  const auto good = commit_of(p.data);
  CHECK(with(good) == "");
  CHECK(with(note(1)) == "malformed: commit");
  CHECK(with("") == "malformed: commit");
  CHECK(with(good + good) == "malformed: commit");
  CHECK(with(commit_of(p.data, did, rev, 2)) == "malformed: commit");
  CHECK(with(commit_of(p.data, did, "3kabcdefgh22")) == "malformed: commit");
  CHECK(with(commit_of(p.data, did, "no rev of ours")) == "malformed: commit");
  CHECK(with(commit_of(cid_of(p.blocks.at(p.data), codec::raw))) == "malformed: commit");
  const auto raw = cid_of(good, codec::raw);
  CHECK(export_flaw(car_header(raw) + test::car_section(raw, good)) == "malformed: commit");
}

TEST_CASE("export: a commit of another account") {
  export_parts p({{key_of_height(0), note(1)}});
  p.commit = commit_of(p.data, "did:plc:abcdefghijklmnopqrstuvwy");
  CHECK(export_flaw(p.car()) == "malformed: did");
  p.commit = commit_of(p.data, "did:plc:abcdefghijklmnopqrstuvwxy");
  CHECK(export_flaw(p.car()) == "malformed: did");
}

TEST_CASE("export: the words of a tree that breaks a rule") {
  const auto first = key_of_height(0, 0), second = key_of_height(0, 1), high = key_of_height(1);
  CHECK(flaw_of_tree({node_of(entry_json(first, 0, value()))}) == "");
  CHECK(flaw_of_tree({note(7)}) == "malformed: node");
  CHECK(flaw_of_tree({node_of(entry_json(first, 0, value()) + "," + entry_json(second, 0, value()))}) ==
        "malformed: prefix");
  CHECK(flaw_of_tree({node_of(entry_json("no path", 0, value()))}) == "malformed: key");
  CHECK(flaw_of_tree({node_of(entry_json(first, 0, value()) + "," + entry_json("", 0, value()))}) == "malformed: key");
  const auto above = std::min(first, high), below = std::max(first, high);
  const auto shared = std::ranges::mismatch(above, below).in1 - above.begin();
  const auto two_heights = entry_json(above, 0, value()) + "," + entry_json(below.substr(shared), shared, value());
  CHECK(flaw_of_tree({node_of(two_heights)}) == "malformed: height");
  const auto empty = node_of("");
  CHECK(flaw_of_tree({node_of(entry_json(high, 0, value(), cid_of(empty))), empty}) == "malformed: empty_node");
  const auto leaf = node_of(entry_json(first, 0, value()));
  CHECK(flaw_of_tree({node_of(entry_json(key_of_height(2), 0, value()), cid_of(leaf)), leaf}) == "malformed: level");
}

TEST_CASE("export: no part of a tree is passed twice") {
  // A node cannot lead back to itself, because its CID would have to be known before its bytes. What can be made is a
  // tree whose nodes each lead to the next one twice: few nodes, but 2^height ways.
  std::vector<std::string> nodes{node_of(entry_json(key_of_height(0, 5), 0, value()))};
  for (unsigned level = 1; level < 6; ++level) {
    const auto below = cid_of(nodes.front());
    nodes.insert(nodes.begin(), node_of(entry_json(key_of_height(level), 0, value(), below), below));
  }
  CHECK(flaw_of_tree(nodes) == "malformed: order");
}

TEST_CASE("export: a broken tree counts for more than a missing record") {
  const auto leaf = node_of(entry_json("no path", 0, value()));
  const auto top = node_of(entry_json(key_of_height(1), 0, cid_of("missing"), cid_of(leaf)));
  CHECK(flaw_of_tree({top}) == "not_found: missing_node");
  CHECK(flaw_of_tree({top, leaf}) == "malformed: key");
}

TEST_CASE("export: the limits of the CAR") {
  const export_parts p(some_content());
  const auto bytes = p.car();
  CHECK(export_flaw(bytes, {.blocks = p.blocks.size() + 1}) == "");
  CHECK(export_flaw(bytes, {.blocks = p.blocks.size()}) == "too_large: car_blocks");
  CHECK(export_flaw(bytes, {.block = 50}) == "too_large: car_block");
  CHECK(export_flaw(bytes, {.header = 10}) == "too_large: car_header");
}

TEST_CASE("export: a small tree cannot name many long paths") {
  const auto with = [](unsigned paths, bool chosen) {
    std::map<std::string, std::string> content;
    for (unsigned i = 10'000; content.size() < paths; ++i) {
      auto path = fmt::format("com.example.t/{}{}", std::string(500, 'a'), i);
      if (!chosen || test::model_height(path) == 0) content[path] = note(1);
    }
    return export_flaw(export_parts(content).car());
  };
  CHECK(with(1000, true) == "");
  CHECK(with(4000, true) == "too_large: paths");  // all in one node
  CHECK(with(5000, true) == "too_large: node");
  CHECK(with(5000, false) == "");
}
