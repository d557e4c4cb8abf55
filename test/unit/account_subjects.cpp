// The filters that select one account's keys.
#include "recordkv/kv/account_keys.hpp"
#include "recordkv/kv/record_key.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <set>

using namespace recordkv;
using words = std::vector<std::string>;

namespace {

const std::string alice = "did:plc:44ybard66vv44zksje25o7dz";
const std::string alice_key = ".did/3Aplc/3A44ybard66vv44zksje25o7dz.*";

}  // namespace

TEST_CASE("a collection is one filter, with the partition and the account in it") {
  CHECK(kv::account_subjects("record", alice, 16, {"app.bsky.feed.like"}) ==
        words{"$KV.record.4.app.bsky.feed.like" + alice_key});
  CHECK(kv::account_subjects("other", alice, 1, {"a.b.c"}) == words{"$KV.other.0.a.b.c" + alice_key});
}

// NATS refuses a consumer whose filters overlap.
TEST_CASE("a collection that is named twice is one filter") {
  CHECK(kv::account_subjects("record", alice, 16, {"a.b.d", "a.b.c", "a.b.d"}) ==
        words{"$KV.record.4.a.b.c" + alice_key, "$KV.record.4.a.b.d" + alice_key});
}

TEST_CASE("what is no collection selects nothing, and never everything") {
  for (const auto* name : {"", "a.b", "a.b.*", "a.>", "*", ">", "a.b.c d", "a..b.c", "a.b.c\r\nPUB x 0", "a.b.c/"}) {
    INFO(name);
    CHECK(kv::account_subjects("record", alice, 16, {name}).empty());
  }
}

TEST_CASE("without collections, each number of segments from 3 to 63 has one filter") {
  const auto all = kv::account_subjects("record", alice, 16, {});
  REQUIRE(all.size() == 61);
  CHECK(all.front() == "$KV.record.4.*.*.*" + alice_key);
  std::set<std::ptrdiff_t> lengths;
  for (const auto& f : all) {
    CHECK(f.ends_with(alice_key));
    lengths.insert(std::ranges::count(f, '.'));
  }
  CHECK(lengths.size() == 61);
  CHECK(*lengths.rbegin() - *lengths.begin() == 60);
}
