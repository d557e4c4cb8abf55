// The store's keys, against the reference's own answers.
#include "recordkv/kv/record_key.hpp"

#include "atproto_support.hpp"

using namespace recordkv;
using namespace recordkv::kv;

namespace {
constexpr const char* vectors = "_derived/nats-record-kv/key-vectors.json";
std::string text(const boost::json::value& v) { return std::string(v.as_string()); }
}  // namespace

TEST_CASE("murmur3 and the first digit of it that is not zero") {
  CHECK(murmur3("") == 0);
  CHECK(murmur3("a") == 0x3c2569b2);
  CHECK(murmur3("ab") == 0x9bbfd75f);
  CHECK(murmur3("abc") == 0xb3dd93fa);
  CHECK(murmur3("abcd") == 0x43ed676a);
  CHECK(murmur3("hello, world") == 0x149bbb7f);
  CHECK(partition_of("") == "0");
  CHECK(partition_of("abc") == "b");
  CHECK(partition_of("did:web:\u00e9xample.com") == "c");
  CHECK(partition_of("did:plc:3dxeoy4hmcfzrztuyyts6uuw") == "3");  // 03b33a82
  CHECK(partition_of("did:plc:joptu6d2nwwdsvdvsb74pwrv") == "8");  // 008bc5fc
  CHECK(partition_of("did:plc:zeropartitionaaaaawdub2y") == "0");  // 0000000a
}

TEST_CASE("another number of partitions is a plain remainder") {
  CHECK(partition_of("abc", 256) == "fa");
  CHECK(partition_of("abc", 4096) == "3fa");
  CHECK(partition_of("abc", 1) == "0");
  CHECK(partition_of("a", 64) == "32");
  CHECK(partition_of("", 64) == "00");
  for (const unsigned n : {1u, 2u, 15u, 16u, 17u, 64u, 256u}) {
    const auto labels = partition_labels(n);
    REQUIRE(labels.size() == n);
    CHECK(std::ranges::is_sorted(labels));
    for (int i = 0; i < 500; ++i) {
      CHECK(std::ranges::count(labels, partition_of(fmt::format("did:plc:{}", i), n)) == 1);
    }
  }
  CHECK(partition_labels().front() == "0");
  CHECK(partition_labels().back() == "f");
}

TEST_CASE("escaping works on UTF-16 code units") {
  CHECK(encode_part("did:plc:a_b=c-d/e") == "did/3Aplc/3Aa_b=c-d/e");
  CHECK(encode_part("~1.2%") == "/7E1/2E2/25");
  CHECK(encode_part(std::string_view("\0\r\n", 3)) == "/00/0D/0A");
  CHECK(encode_part("\u00e9\u0101\u20ac\U0001F600") == "/E9/101/20AC/D83D/DE00");
  CHECK(encode_part("\U0010FFFF") == "/DBFF/DFFF");
  CHECK(encode_part("a\xff\xe2\x82z\xed\xa0\x80") == "a/FFFD/FFFD/FFFDz/FFFD/FFFD/FFFD");
  CHECK(decode_part("did/3Aplc/3Aa") == "did:plc:a");
  CHECK(decode_part("/E9") == "\u00e9");
  CHECK(decode_part("/3a/3/") == "/3a/3/");
  CHECK(decode_part("/G0/0") == "/G0/0");
  CHECK(decode_part("a/41/") == "aA/");
}

TEST_CASE("a key falls into its parts from both ends") {
  const auto key = record_key::of("did:web:user.example.com", "com.example.deep.fooBar", "example.com");
  CHECK(key.text() == "1.com.example.deep.fooBar.did/3Aweb/3Auser/2Eexample/2Ecom.example/2Ecom");
  const auto back = record_key::parse(key.text());
  REQUIRE(back.has_value());
  CHECK(back->partition == "1");
  CHECK(back->collection == key.collection);
  CHECK(back->did == key.did);
  CHECK(back->rkey == key.rkey);
  for (const char* bad : {"", "a", "a.b", "a.b.c", "...", "meta"}) {
    INFO(bad);
    CHECK(record_key::parse(bad).has_value() == (std::string_view(bad) == "..."));
  }
  CHECK(record_key::parse("1.x.y.z")->collection == "x");
}

TEST_CASE("fixtures: every key of the reference, both ways") {
  const auto all = test::fixture_json(vectors);
  CHECK(all.at("records").as_array().size() == 166);
  for (const auto& r : all.at("records").as_array()) {
    const auto key = record_key::of(text(r.at("did")), text(r.at("collection")), text(r.at("rkey")));
    CHECK(fmt::format("{:08x}", murmur3(key.did)) == text(r.at("murmur3")));
    CHECK(key.partition == text(r.at("partition")));
    CHECK(key.text() == text(r.at("key")));
    const auto back = record_key::parse(key.text());
    REQUIRE(back.has_value());
    CHECK(back->partition == key.partition);
    CHECK(back->collection == key.collection);
    CHECK(back->did == key.did);
    CHECK(back->rkey == key.rkey);
  }
}

TEST_CASE("fixtures: enc and dec, lossy ones included") {
  const auto all = test::fixture_json(vectors);
  CHECK(all.at("encode").as_array().size() == 24);
  for (const auto& e : all.at("encode").as_array()) {
    INFO(text(e.at("encoded")));
    CHECK(encode_part(text(e.at("input"))) == text(e.at("encoded")));
    CHECK(decode_part(text(e.at("encoded"))) == text(e.at("decodesBackTo")));
    CHECK((decode_part(encode_part(text(e.at("input")))) == text(e.at("input"))) == e.at("lossless").as_bool());
  }
}

TEST_CASE("fixtures: partitions of raw strings") {
  for (const auto& e : test::fixture_json(vectors).at("partition_of_raw_strings").as_array()) {
    CHECK(fmt::format("{:08x}", murmur3(text(e.at("input")))) == text(e.at("murmur3")));
    CHECK(partition_of(text(e.at("input"))) == text(e.at("partition")));
  }
}
