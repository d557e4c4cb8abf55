// Rule X19: the facts about a store that must not change under it.
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/kv/record_key.hpp"

#include "../support/nats_process.hpp"

using namespace recordkv;
using namespace recordkv::test;

namespace {

result<kv::opened_store> open(nats_rig& rig, unsigned partitions = 16, std::string bucket = "record") {
  return rig.run(kv::open_store(rig.nc, std::move(bucket), partitions, 1));
}

kv::store_meta meta(nats_rig& rig) {
  auto m = rig.run(kv::read_meta(rig.nc, "record"));
  if (!m) FAIL(m.error().text);
  return *m;
}

}  // namespace

TEST_CASE("X19: the first to open a store writes down what it is") {
  nats_rig rig;
  CHECK(rig.run(kv::read_meta(rig.nc, "record")).has_error());
  const auto opened = open(rig);
  REQUIRE(opened.has_value());
  const auto m = meta(rig);
  CHECK(m.partitions == 16);
  CHECK(m.created == rig.info("KV_record").created);
  CHECK(m.made == words{"KV_record", "KV_repo"});
  CHECK(m.generation > 0);
  CHECK_FALSE(m.put_used);
  const auto again = open(rig);
  REQUIRE(again.has_value());
  CHECK(again->meta.seq == m.seq);
  CHECK(again->meta.generation == m.generation);
  rig.remove("KV_repo");
  REQUIRE(open(rig).has_value());
  CHECK(meta(rig).generation != m.generation);  // views built on the states of before are of another store
}

// Each round has a store of its own. nats-server 2.15.2 can hand a stream that is deleted and created again within some
// milliseconds the last message of the deleted one (6 of 400 times).
TEST_CASE("X19: of two processes that open a store first at the same time each notes what it made") {
  nats_rig rig;
  for (int round = 0; round < 40; ++round) {
    const kv::store_names names(fmt::format("store{}", round));
    std::vector<result<kv::opened_store>> opened;
    const auto begin = [&] {
      asio::co_spawn(rig.io, kv::open_store(rig.nc, names, 16, 1),
                     [&](std::exception_ptr, result<kv::opened_store> r) { opened.push_back(std::move(r)); });
    };
    begin();
    // The second one finds the first stream made, and makes the other at the same time.
    while (!rig.run(nats::stream_info(rig.nc, names.store()))) continue;
    begin();
    REQUIRE(rig.waits_for([&] { return opened.size() == 2; }));
    for (const auto& o : opened)
      if (!o) FAIL(o.error().text);
    auto made = rig.run(kv::read_meta(rig.nc, names));
    REQUIRE(made.has_value());
    std::ranges::sort(made->made);
    words both{names.store(), kv::store_names::stream_of(names.repo())};
    std::ranges::sort(both);
    CHECK(made->made == both);
  }
}

TEST_CASE("X19: facts that somebody deleted by hand are written anew") {
  nats_rig rig;
  REQUIRE(open(rig).has_value());
  kv::bucket repo(rig.nc, "repo");
  kv::write marker{.key = "meta", .expected = meta(rig).seq};
  marker.headers.push_back({"KV-Operation", "DEL"});
  REQUIRE(rig.run(repo.update(std::move(marker))).has_value());
  REQUIRE(open(rig).has_value());
  CHECK(meta(rig).created == rig.info("KV_record").created);
}

TEST_CASE("X19: other partitions refuse to start") {
  nats_rig rig;
  REQUIRE(open(rig, 16).has_value());
  const auto refused = open(rig, 32);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == errc::mismatch);
  CHECK(refused.error().text.find("kv.partitions = 16") != std::string::npos);
  CHECK(meta(rig).partitions == 16);
}

TEST_CASE("X19: where partitions are not written down they are 16") {
  nats_rig rig;
  REQUIRE(open(rig).has_value());
  kv::bucket repo(rig.nc, "repo");
  kv::write w{
      .key = "meta", .value = R"({"created":")" + rig.info("KV_record").created + "\"}", .expected = meta(rig).seq};
  REQUIRE(rig.run(repo.update(std::move(w))).has_value());
  CHECK(open(rig, 16).has_value());
  CHECK(open(rig, 8).error().code == errc::mismatch);
}

TEST_CASE("X19: a bucket that somebody else filled is refused where its keys have other partitions") {
  nats_rig rig;
  rig.stream("KV_record",
             R"({"subjects":["$KV.record.>"],"max_msgs_per_subject":1,"discard":"new","allow_direct":true})");
  const auto key = kv::record_key::of("did:plc:44ybard66vv44zksje25o7dz", "app.bsky.feed.like", "a", 16).text();
  rig.publish("$KV.record." + key, "{}");
  for (const unsigned other : {64u, 8u}) {
    const auto refused = open(rig, other);
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == errc::mismatch);
    CHECK(refused.error().text.find(fmt::format("kv.partitions = {} does not make", other)) != std::string::npos);
    CHECK(refused.error().text.find(key) != std::string::npos);
    CHECK(rig.run(kv::read_meta(rig.nc, "record")).has_error());  // nothing was written down
  }
  CHECK(open(rig, 16).has_value());
}

TEST_CASE("X19: a store that was recreated is refused, with the remedy") {
  nats_rig rig;
  REQUIRE(open(rig).has_value());
  rig.remove("KV_record");
  const auto refused = open(rig);
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == errc::mismatch);
  CHECK(refused.error().text.find("nats stream rm KV_repo") != std::string::npos);
}

namespace {

void fill(nats_rig& rig, int n) {
  for (int i = 0; i < n; ++i)
    rig.publish(
        "$KV.record." +
            kv::record_key::of("did:plc:44ybard66vv44zksje25o7dz", "app.bsky.feed.like", std::to_string(i), 16).text(),
        "{}");
}

/// As kv does it now and then.
void note(nats_rig& rig, int times = 1) {
  for (int i = 0; i < times; ++i) {
    auto opened = open(rig);
    if (!opened) FAIL(opened.error().text);
    REQUIRE(rig.run(kv::note_samples(rig.nc, "record", *opened)).has_value());
  }
}

void call_it(nats_rig& rig, std::string created) {
  auto m = meta(rig);
  m.created = std::move(created);
  REQUIRE(rig.run(kv::write_meta(rig.nc, "record", m)).has_value());
}

}  // namespace

TEST_CASE("X19: a store whose creation time the server has changed is the same while a sample of it stands") {
  nats_rig rig;
  REQUIRE(open(rig).has_value());
  fill(rig, 3);
  note(rig);
  fill(rig, 2);  // the first two keys anew
  note(rig, 2);
  const auto before = meta(rig);
  CHECK(before.samples.size() == 2);  // the one that stood, and the newest
  const auto truth = rig.info("KV_record").created;
  call_it(rig, "2025-01-01T00:00:00Z");
  const auto opened = open(rig);
  REQUIRE(opened.has_value());
  CHECK(opened->meta.created == truth);
  CHECK(opened->meta.is_of("2025-01-01T00:00:00Z"));
  CHECK(opened->meta.is_of(truth));
  CHECK_FALSE(opened->meta.is_of("2025-01-02T00:00:00Z"));
  CHECK(opened->meta.generation == before.generation);
  note(rig);
  CHECK(meta(rig).created == truth);
  CHECK(meta(rig).is_of("2025-01-01T00:00:00Z"));
}

TEST_CASE("X19: without a sample that stands, another creation time is another store") {
  nats_rig rig;
  REQUIRE(open(rig).has_value());
  SECTION("none was taken") {}
  SECTION("each was overwritten") {
    fill(rig, 1);
    note(rig);
    fill(rig, 1);
  }
  call_it(rig, "2025-01-01T00:00:00Z");
  CHECK(open(rig).error().code == errc::mismatch);
}

TEST_CASE("X19: another message where a sample stood is another store, whatever its creation time") {
  nats_rig rig;
  REQUIRE(open(rig).has_value());
  fill(rig, 3);
  note(rig);
  rig.remove("KV_record");
  rig.stream("KV_record",
             R"({"subjects":["$KV.record.>"],"max_msgs_per_subject":1,"discard":"new","allow_direct":true})");
  fill(rig, 3);
  call_it(rig, rig.info("KV_record").created);
  const auto refused = open(rig);
  REQUIRE(refused.has_error());
  CHECK(refused.error().text.find("was recreated") != std::string::npos);
}

TEST_CASE("X19: what was there before is not ours to remove") {
  nats_rig rig;
  rig.stream("KV_record",
             R"({"subjects":["$KV.record.>"],"max_msgs_per_subject":1,"discard":"new","allow_direct":true})");
  REQUIRE(open(rig).has_value());
  CHECK(meta(rig).made == words{"KV_repo"});
  REQUIRE(rig.run(kv::remember_made(rig.nc, "record", "KV_cursor")).has_value());
  REQUIRE(rig.run(kv::remember_made(rig.nc, "record", "KV_cursor")).has_value());
  CHECK(meta(rig).made == words{"KV_repo", "KV_cursor"});
}

TEST_CASE("X19: the facts are written by compare-and-set") {
  nats_rig rig;
  REQUIRE(open(rig).has_value());
  auto mine = meta(rig), theirs = meta(rig);
  theirs.generation = 2;
  REQUIRE(rig.run(kv::write_meta(rig.nc, "record", theirs)).has_value());
  mine.put_used = true;
  CHECK(rig.run(kv::write_meta(rig.nc, "record", mine)).error().code == errc::conflict);
  CHECK(meta(rig).generation == 2);
  theirs.put_used = true;
  CHECK(rig.run(kv::write_meta(rig.nc, "record", theirs)).has_value());
  CHECK(meta(rig).put_used);
}

TEST_CASE("X19: a key meta that is none of ours is refused") {
  nats_rig rig;
  kv::bucket repo(rig.nc, "repo");
  REQUIRE(rig.run(repo.open()).has_value());
  kv::write w{.key = "meta", .value = "not json"};
  REQUIRE(rig.run(repo.update(std::move(w))).has_value());
  CHECK(open(rig).error().code == errc::malformed);
}
