// Which frames are wanted: what ingest may drop.
#include "collection_filter.hpp"

#include "recordkv/kv/record_key.hpp"

#include <catch2/catch_test_macros.hpp>

using recordkv::atproto::event_kind;
using recordkv::atproto::frame_summary;
using recordkv::stages::collection_filter;

namespace {

const std::string alice = "did:plc:44ybard66vv44zksje25o7dz";
const std::string bob = "did:web:bob.example";

frame_summary commit(std::string did, std::vector<std::string> collections) {
  return {.kind = event_kind::commit, .seq = 1, .did = std::move(did), .collections = std::move(collections)};
}
frame_summary other(event_kind kind, std::string did) { return {.kind = kind, .seq = 1, .did = std::move(did)}; }

}  // namespace

TEST_CASE("without a filter everything about an account passes") {
  collection_filter f({"*"}, true);
  CHECK(f.everything());
  CHECK(f.is_certain());
  CHECK(f.wants(commit(alice, {"com.example.any"})));
  CHECK(f.wants(commit(alice, {})));
  for (const auto kind : {event_kind::sync, event_kind::identity, event_kind::account})
    CHECK(f.wants(other(kind, bob)));
  CHECK_FALSE(f.wants(other(event_kind::unknown, alice)));
  CHECK_FALSE(f.wants(other(event_kind::info, "")));
}

TEST_CASE("an account begins with its first commit that touches a wanted collection, and then passes whole") {
  collection_filter f({"app.bsky.feed.*"}, true);
  f.certain(true);
  CHECK_FALSE(f.wants(commit(alice, {"app.bsky.graph.follow"})));
  CHECK_FALSE(f.wants(other(event_kind::account, alice)));
  CHECK(f.wants(commit(alice, {"app.bsky.graph.follow", "app.bsky.feed.like"})));
  CHECK(f.accounts() == 1);
  CHECK(f.wants(commit(alice, {"app.bsky.graph.follow"})));
  CHECK(f.wants(commit(alice, {})));
  for (const auto kind : {event_kind::sync, event_kind::identity, event_kind::account})
    CHECK(f.wants(other(kind, alice)));
  CHECK_FALSE(f.wants(commit(bob, {"app.bsky.graph.follow"})));
  CHECK_FALSE(f.wants(other(event_kind::sync, bob)));
}

TEST_CASE("an account known from bucket repo has begun") {
  collection_filter f({"app.bsky.feed.like"}, true);
  f.certain(true);
  f.known().add(recordkv::kv::encode_part(bob));  // as it stands in the key
  CHECK(f.wants(commit(bob, {"com.example.any"})));
  CHECK_FALSE(f.wants(commit(alice, {"com.example.any"})));
}

TEST_CASE("as long as it is not known who has begun, nothing is dropped") {
  collection_filter f({"app.bsky.feed.like"}, true);
  CHECK_FALSE(f.is_certain());
  CHECK(f.wants(commit(alice, {"com.example.any"})));
  CHECK(f.wants(other(event_kind::account, alice)));
  f.certain(true);
  // Alice's state may have been written anew while `repo` was read, behind the end of that reading.
  CHECK(f.wants(commit(alice, {"com.example.any"})));
  CHECK_FALSE(f.wants(commit(bob, {"com.example.any"})));
  f.certain(false);
  CHECK(f.wants(commit(bob, {"com.example.any"})));
}

TEST_CASE("events that stand alone are judged alone") {
  collection_filter f({"app.bsky.feed.like"}, false);
  CHECK(f.wants(commit(alice, {"app.bsky.feed.like"})));
  CHECK_FALSE(f.wants(commit(alice, {"app.bsky.feed.post"})));
  CHECK_FALSE(f.wants(commit(alice, {})));
}

TEST_CASE("where events stand alone, too, an account that has begun is heard of") {
  collection_filter f({"app.bsky.feed.like"}, false);
  f.certain(true);
  CHECK_FALSE(f.wants(other(event_kind::account, alice)));
  CHECK(f.wants(commit(alice, {"app.bsky.feed.like"})));
  CHECK(f.wants(other(event_kind::account, alice)));
  CHECK_FALSE(f.wants(commit(alice, {"app.bsky.feed.post"})));
}
