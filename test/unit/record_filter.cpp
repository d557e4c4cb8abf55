// Which records a reader wants: the notation, the subjects it becomes, what they alone can't tell apart.
#include "recordkv/kv/record_filter.hpp"

#include <catch2/catch_test_macros.hpp>

namespace kv = recordkv::kv;
using recordkv::kv::record_filter;
using strings = std::vector<std::string>;

namespace {

record_filter filter(strings collections, std::string did = {}, std::string_view share = "all") {
  auto f = record_filter::parse(std::move(collections), std::move(did), share, 16);
  REQUIRE(f.has_value());
  return *f;
}

bool wants(const record_filter& f, std::string collection, std::string did = "did:web:a.example") {
  return f.wants(kv::record_key::of(did, collection, "1"));
}

}  // namespace

TEST_CASE("a collection is exact, a prefix is not, and all is no filter") {
  CHECK(filter({"app.bsky.feed.like"}).subjects("record") == strings{"$KV.record.*.app.bsky.feed.like.*.*"});
  CHECK(filter({"app.bsky.graph.*"}).subjects("b") == strings{"$KV.b.*.app.bsky.graph.>"});
  CHECK(filter({"*"}).subjects("record").empty());
  CHECK(filter({"app.bsky.feed.like", "*"}).subjects("record").empty());
}

TEST_CASE("no filter overlaps another: NATS would refuse them") {
  CHECK(
      filter({"app.bsky.graph.follow", "app.bsky.graph.*", "app.bsky.graph.follow", "app.bsky.*"}).subjects("record") ==
      strings{"$KV.record.*.app.bsky.>"});
  CHECK(filter({"app.bsky.feed.like", "app.bsky.feed.like.*"}).subjects("record").size() == 2);
}

TEST_CASE("an account and a share narrow the partition") {
  const std::string did = "did:web:a.example", label = kv::partition_of(did);
  CHECK(filter({"app.bsky.feed.like"}, did).subjects("record") ==
        strings{"$KV.record." + label + ".app.bsky.feed.like." + kv::encode_part(did) + ".*"});
  CHECK(filter({"*"}, did).subjects("record") == strings{"$KV.record." + label + ".>"});
  CHECK(filter({"*"}, "", "3,b").subjects("record") == strings{"$KV.record.3.>", "$KV.record.b.>"});
}

TEST_CASE("what subjects let through is compared") {
  CHECK(wants(filter({"app.bsky.graph.*"}), "app.bsky.graph.follow"));
  CHECK_FALSE(wants(filter({"app.bsky.graph.*"}), "app.bsky.graphs.follow"));
  CHECK_FALSE(wants(filter({"app.bsky.feed.like"}), "app.bsky.feed.like.extra"));
  CHECK_FALSE(wants(filter({"*"}, "did:web:a.example"), "app.bsky.feed.like", "did:web:b.example"));
  CHECK(wants(filter({"*"}), "app.bsky.feed.like"));
}

TEST_CASE("what is no collection is told") {
  for (const char* word : {"like", "app.bsky", "app.bsky.feed.like*", "app.bsky..*", ".*", "app.bsky.feed.>", ""})
    CHECK_FALSE(record_filter::parse({word}, "", "all", 16).has_value());
  CHECK_FALSE(record_filter::parse({}, "", "all", 16).has_value());
  CHECK_FALSE(record_filter::parse({"*"}, "jay.example.com", "all", 16).has_value());
  CHECK_FALSE(record_filter::parse({"*"}, "", "x", 16).has_value());
  CHECK_FALSE(record_filter::parse(strings(65, "*"), "", "all", 16).has_value());
}
