// Exports of the generated chain, and recorded ones. The latter hold real people's posts: comparisons are made outside
// of assertions, which would print both sides.
#include "repo_export_support.hpp"

using namespace recordkv;
using namespace recordkv::atproto;
using test::tree_agrees;

namespace {

/// Reads the export of the account that its own commit names.
result<repo_export> read_export(const std::string& file) {
  const auto bytes = test::read_fixture(file);
  const auto blocks = car::read(bytes).value();
  const auto head = read_signed_commit(blocks.find(blocks.root())).value();
  return repo_export::read(bytes, head.did);
}

}  // namespace

TEST_CASE("fixtures: the exports of the generated chain, and the keys that signed them") {
  const std::string folder = "_derived/signed-chain/";
  const auto manifest = test::fixture_json(folder + "manifest.json");
  const auto documents = test::fixture_json(folder + "did_docs.json");
  std::size_t exports = 0;
  for (const auto& given : manifest.at("getRepo").as_array()) {
    const auto& o = given.as_object();
    const auto file = test::text_at(o, "file"), author = test::text_at(o, "did");
    INFO(file);
    const auto read = repo_export::read(test::read_fixture(folder + file), author);
    REQUIRE(read.has_value());
    CHECK(read->rev() == test::text_at(o, "rev"));
    CHECK(read->commit() == test::text_at(o, "commit"));
    CHECK(read->data() == test::text_at(o, "data"));
    CHECK(read->records().size() == o.at("records").to_number<std::size_t>());
    CHECK(tree_agrees(*read));
    const auto seq = o.at("availableFromSeq").to_number<std::uint64_t>();
    for (const auto& [other, versions] : documents.as_object()) {
      INFO(other);
      CHECK(read->signed_by(test::key_at(documents, other, seq)) == (other == author));
    }
    ++exports;
  }
  CHECK(exports == 3);
}

TEST_CASE("fixtures: the export of an empty repo") {
  const auto read = read_export("at-microcosm__repo-stream/empty.car");
  REQUIRE(read.has_value());
  CHECK(read->records().empty());
  CHECK(read->data() == cid_text(empty_tree()));
}

TEST_CASE("recorded: the export of a repo has the records that are listed beside it") {
  const std::string folder = "bluesky-social__jetstream/repo-export/";
  const auto read = read_export(folder + "repo.car");
  REQUIRE(read.has_value());
  std::vector<std::string> lines;
  for (const auto& r : read->records()) lines.push_back(r.path + "\t" + cid_text(r.cid));
  const auto listed = test::fixture_lines(folder + "car_expected_records.tsv");
  CHECK((lines == listed));
  CHECK(tree_agrees(*read));
}

TEST_CASE("recorded: an export is signed with the key of its account's document") {
  const std::string folder = "bluesky-social__indigo/car/";
  const auto document = test::fixture_json(folder + "greenground.didDoc.json");
  const auto read = read_export(folder + "greenground.repo.car");
  REQUIRE(read.has_value());
  CHECK(read->signed_by(test::key_of(document)));
  CHECK(tree_agrees(*read));
}
