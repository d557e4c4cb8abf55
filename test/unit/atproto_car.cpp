// CIDs and CARs, made up and recorded.
#include "recordkv/atproto/car.hpp"

#include "atproto_support.hpp"

#include <map>

using namespace recordkv;
using namespace recordkv::atproto;
using test::from_hex;

namespace {

/// The word a CAR is refused with; empty when it is not.
std::string flaw_of(std::string_view bytes, car_limits limits = {}) {
  const auto read = car::read(bytes, limits);
  return read ? std::string{} : read.error().text;
}

}  // namespace

TEST_CASE("SHA-256 and the text of a CID") {
  // The empty tree's node, whose CID the protocol's documents give.
  const auto empty_tree = from_hex("a2 6165 80 616c f6");
  CHECK(cid_text_of(empty_tree) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
  CHECK(cid_text_of("", codec::raw).starts_with("bafkrei"));
  const auto sum = sha256("abc");
  CHECK(std::string(sum.begin(), sum.end()) ==
        from_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  CHECK(names(cid_of("a"), "a"));
  CHECK_FALSE(names(cid_of("a"), "b"));
}

TEST_CASE("CID text goes both ways, in one form only") {
  const auto binary = cid_of("something");
  const auto text = cid_text(binary);
  REQUIRE(text.size() == 59);
  REQUIRE(cid_from_text(text).has_value());
  CHECK(*cid_from_text(text) == binary);
  auto upper = text;
  upper[5] = 'A';
  CHECK_FALSE(cid_from_text(upper).has_value());
  CHECK_FALSE(cid_from_text(text + 'a').has_value());
  CHECK_FALSE(cid_from_text(text.substr(0, 58)).has_value());
  auto stray = text;  // 36 bytes are 57 characters and 3 bits: the last one has two bits that must be zero
  stray.back() = stray.back() == 'b' ? 'c' : 'b';
  CHECK_FALSE(cid_from_text(stray).has_value());
  for (const char* bad : {"", "b", "z", ".", "Qm", "bafyrei"}) CHECK_FALSE(cid_from_text(bad).has_value());
}

TEST_CASE("which bytes are a CID") {
  CHECK(is_cid(cid_of("x")));
  CHECK(is_block_cid(cid_of("x", codec::raw)));
  CHECK(is_cid(from_hex("01 70 12 20") + std::string(32, 'd')));
  CHECK_FALSE(is_block_cid(from_hex("01 70 12 20") + std::string(32, 'd')));
  CHECK_FALSE(is_cid(from_hex("12 20") + std::string(32, 'd')));        // version 0
  CHECK_FALSE(is_cid(from_hex("01 71 12 20") + std::string(31, 'd')));  // short
  CHECK_FALSE(is_cid(from_hex("01 71 12 00")));                         // no digest
  CHECK_FALSE(is_cid(from_hex("01 f100 12 01 00")));                    // padded varint
  CHECK_FALSE(is_cid(from_hex("01 71 12 61") + std::string(97, 'd')));  // over 100 bytes
  CHECK_FALSE(is_cid(""));
}

TEST_CASE("a CAR gives its root and finds its blocks") {
  const auto bytes = test::car_of({"one", "two", "two", ""});
  const auto read = car::read(bytes);
  REQUIRE(read.has_value());
  CHECK(read->root() == cid_of("one"));
  CHECK(read->blocks().size() == 3);
  CHECK(read->find(cid_of("two")) == "two");
  CHECK(read->find(cid_of("")).data() != nullptr);
  CHECK(read->find(cid_of("three")).data() == nullptr);
  CHECK(read->find(cid_of("two", codec::raw)).data() == nullptr);

  auto reader = car_reader::open(bytes);
  REQUIRE(reader.has_value());
  std::size_t n = 0;
  for (; !reader->done(); ++n) REQUIRE(reader->next().has_value());
  CHECK(n == 4);
}

TEST_CASE("cut anywhere but between blocks, a CAR is refused") {
  const auto whole = test::car_of({"one", "two"});
  const auto header = test::car_of({"one"}).size() - test::car_section(cid_of("one"), "one").size();
  const auto middle = whole.size() - test::car_section(cid_of("two"), "two").size();
  for (std::size_t n = 0; n < whole.size(); ++n) {
    INFO(n);
    CHECK(flaw_of(whole.substr(0, n)).empty() == (n == header || n == middle));
  }
}

TEST_CASE("a spoilt CAR names what is wrong with it") {
  const auto good = test::car_of({"one", "two"});
  const auto root = test::link_json(cid_text_of("one"));
  const auto header = [](std::string_view json) { return test::car_with_header(test::cbor(json), {"one"}); };
  auto flipped = good;
  flipped.back() ^= 1;
  CHECK(flaw_of(flipped) == "cid_mismatch");
  CHECK(flaw_of(good + '\0') == "car_length");
  CHECK(flaw_of(good + "\x80\x80" + '\0') == "car_length");
  CHECK(flaw_of(good + std::string(10, '\xff')) == "car_length");
  CHECK(flaw_of(good + "\x01\x01") == "cid_form");
  CHECK(flaw_of(good + test::car_section(from_hex("12 20") + std::string(32, 'd'), "x")) == "cid_form");
  CHECK(flaw_of(good + test::car_section(from_hex("01 55 00 01 61"), "a")) == "cid_form");
  CHECK(flaw_of(header(R"({"roots":[],"version":1})")) == "no_roots");
  CHECK(flaw_of(header(fmt::format(R"({{"roots":[{}],"version":2}})", root))) == "car_version");
  CHECK(flaw_of(header(fmt::format(R"({{"roots":[{}]}})", root))) == "car_version");
  CHECK(flaw_of(header(R"({"version":1})")) == "car_header");
  CHECK(flaw_of(header(R"({"roots":["x"],"version":1})")) == "car_header");
  CHECK(flaw_of(from_hex("0a a1 67 76657273696f6e 02")) == "car_version");
  CHECK(flaw_of("") == "car_header");
  CHECK(flaw_of(header(fmt::format(R"({{"roots":[{0},{0}],"version":1}})", root))).empty());
}

TEST_CASE("limits answer before blocks are hashed or stored") {
  const auto bytes = test::car_of({std::string(100, 'x'), "y"});
  CHECK(flaw_of(bytes, {.block = 99}) == "car_block");
  CHECK(flaw_of(bytes, {.block = 100}).empty());
  CHECK(flaw_of(bytes, {.blocks = 1}) == "car_blocks");
  CHECK(flaw_of(bytes, {.header = 10}) == "car_header");
}

namespace {

/// Reads each repository; where a number of blocks is known, it must be that.
void check_repositories(const std::map<std::string, std::size_t>& sizes) {
  for (const auto& [name, blocks] : sizes) {
    INFO(name);
    const auto bytes = test::read_fixture(name);
    const auto read = car::read(bytes);
    REQUIRE(read.has_value());
    CHECK(read->find(read->root()).data() != nullptr);
    if (blocks != 0) CHECK(read->blocks().size() == blocks);
  }
}

}  // namespace

TEST_CASE("recorded: whole repositories") {
  check_repositories({
      {"at-microcosm__repo-stream/tiny.car", 0},
      {"bluesky-social__indigo/car/greenground.repo.car", 0},
      {"bluesky-social__jetstream/repo-export/repo.car", 0},
  });
}

TEST_CASE("fixtures: whole repositories") {
  check_repositories({
      {"at-microcosm__repo-stream/empty.car", 2},
      {"bluesky-social__indigo/car/fakermaker.repo.car", 682},
      {"_derived/signed-chain/car/alice-3mn7zsqnvus2b.car", 0},
      {"bluesky-social__indigo/car/repo_slice.car", 0},
      {"DavidBuchanan314__mst-test-suite/cars/exhaustive/exhaustive_063.car", 0},
  });
}

TEST_CASE("fixtures: CARs of the reference, byte for byte") {
  for (const auto& c : test::fixture_json("bluesky-social__atproto/car-file-fixtures.json").as_array()) {
    const auto decode = [](const boost::json::value& v) {
      std::string out;
      REQUIRE(append_from_base64(out, std::string_view(v.as_string())));
      return out;
    };
    const auto bytes = decode(c.at("car"));
    const auto read = car::read(bytes);
    REQUIRE(read.has_value());
    CHECK(cid_text(read->root()) == std::string_view(c.at("root").as_string()));
    for (const auto& block : c.at("blocks").as_array()) {
      const auto cid = cid_from_text(std::string_view(block.at("cid").as_string()));
      REQUIRE(cid);
      CHECK(read->find(*cid) == decode(block.at("bytes")));
    }
  }
}

TEST_CASE("fixtures: CARs that are not for us") {
  // Framed correctly, but with blocks that no repository has (dag-pb, CIDv0): refused for the CID, at the right block.
  const auto v1 = test::read_fixture("ipld__ipld/carv1-basic.car");
  auto reader = car_reader::open(v1);
  REQUIRE(reader.has_value());
  REQUIRE(reader->next().has_value());
  const auto second = reader->next();
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().text == "cid_form");
  const auto v2 = test::read_fixture("ipld__ipld/carv2-basic.car");
  CHECK(flaw_of(v2) == "car_version");
}

TEST_CASE("fixtures: malformed CARs") {
  // Read outside of assertions, inside which a skip would count as a failure.
  const auto read = [](std::string_view name) {
    return test::read_fixture(fmt::format("_derived/malformed/car/{}", name));
  };
  const auto truncated = read("truncated-mid-block.car"), mismatch = read("cid-mismatch-record.car"),
             rootless = read("no-roots.car"), shuffled = read("shuffled-blocks.car"),
             unordered = read("mst-keys-out-of-order.car");
  CHECK(flaw_of(truncated) == "car_length");
  CHECK(flaw_of(mismatch) == "cid_mismatch");
  CHECK(flaw_of(rootless) == "no_roots");
  CHECK(flaw_of(shuffled).empty());
  // Its framing is good. The tree inside is wrong, which only a walk of the tree can find.
  CHECK(flaw_of(unordered).empty());
}

TEST_CASE("fixtures: CID syntax, base32 only") {
  // Other multibases are legal CIDs elsewhere; atproto writes base32 lower case and nothing else is read here.
  std::size_t skipped = 0, good = 0;
  for (const auto& line : test::fixture_lines("bluesky-social__atproto-interop-tests/syntax/cid_syntax_valid.txt")) {
    if (line.empty() || line.starts_with('#')) continue;
    if (!line.starts_with('b')) {
      ++skipped;
      continue;
    }
    CHECK(cid_from_text(line).has_value());
    ++good;
  }
  CHECK(good == 2);
  CHECK(skipped == 6);
  for (const auto& line : test::fixture_lines("bluesky-social__atproto-interop-tests/syntax/cid_syntax_invalid.txt")) {
    if (!line.empty() && !line.starts_with('#')) CHECK_FALSE(cid_from_text(line).has_value());
  }
}
