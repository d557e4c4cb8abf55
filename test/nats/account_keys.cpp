// The keys of one account, read from a real server.
#include "recordkv/kv/account_keys.hpp"

#include "../support/nats_process.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"

#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <fstream>

using namespace recordkv;
using namespace recordkv::test;

namespace {

const std::string alice = "did:plc:44ybard66vv44zksje25o7dz";

enum class way { direct, consumers };

struct keys_rig : nats_rig {
  explicit keys_rig(way by = way::direct, words arguments = {})
      : nats_rig(std::move(arguments)), by_consumers(by == way::consumers) {
    REQUIRE(run(kv::open_store(nc, "record", 16, 1)).has_value());
    made = *nc.subscribe("$JS.API.CONSUMER.CREATE.>");  // copies of the requests
    asked = *nc.subscribe("$JS.API.DIRECT.GET.KV_record");
  }

  static std::string subject(const std::string& did, std::string_view collection, std::string_view rkey) {
    return "$KV.record." + kv::record_key::of(did, collection, rkey, 16).text();
  }
  std::uint64_t put(const std::string& did, std::string_view collection, std::string_view rkey,
                    std::string value = "{}") {
    return publish(subject(did, collection, rkey), std::move(value), {{"cid", "cid-of-" + std::string(rkey)}});
  }
  void mark(const std::string& did, std::string_view collection, std::string_view rkey, std::string operation) {
    publish(subject(did, collection, rkey), "", {{"KV-Operation", std::move(operation)}});
  }

  auto read(std::string did, words collections, std::function<bool()> go_on = [] { return true; }) {
    return kv::read_account_keys(nc, "record", by_consumers ? 0 : api_level(), counted, std::move(did), 16,
                                 std::move(collections), std::move(go_on));
  }
  std::vector<kv::stored_key> keys(std::string did = alice, words collections = {}) {
    auto found = run(read(std::move(did), std::move(collections)));
    if (!found) FAIL(found.error().text);
    return *found;
  }
  words paths(std::string did = alice, words collections = {}) {
    words out;
    for (const auto& k : keys(std::move(did), std::move(collections))) out.push_back(k.collection + "/" + k.rkey);
    return out;
  }
  std::size_t consumers() { return run(nats::consumer_names(nc, "KV_record"))->size(); }
  std::size_t count(nats::subscription& of) {
    REQUIRE(run(nc.flush()));
    return of.take().size();
  }

  bool by_consumers;
  nats::subscription made, asked;  // requests since the last count()
  meters counted;
};

// Many accounts of one partition: what tells them apart is the account alone.
words neighbours(std::size_t n) {
  words out;
  for (int i = 0; out.size() < n; ++i) {
    auto did = fmt::format("did:plc:44ybard66vv44zksje25o7d{}", i);
    if (kv::partition_of(did) == kv::partition_of(alice)) out.push_back(std::move(did));
  }
  return out;
}

std::size_t odd_ones(const std::vector<kv::stored_key>& keys) {
  return static_cast<std::size_t>(
      std::ranges::count_if(keys, [](const kv::stored_key& k) { return (k.rkey.back() - '0') % 2 == 1; }));
}

}  // namespace

TEST_CASE("an account's keys are its own, with their CIDs and sequences, and leave no consumer behind") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  for (const auto& did : neighbours(3)) rig.put(did, "app.bsky.feed.like", "theirs");
  const auto seq = rig.put(alice, "app.bsky.feed.like", "a");
  rig.put(alice, "app.bsky.feed.like.extra", "b");
  rig.put(alice, "app.bsky.feed.post", "c");
  const auto all = rig.keys();
  REQUIRE(all.size() == 3);
  CHECK(rig.paths() == words{"app.bsky.feed.like.extra/b", "app.bsky.feed.like/a", "app.bsky.feed.post/c"});
  CHECK(all[1].cid == "cid-of-a");
  CHECK(all[1].seq == seq);
  CHECK(rig.paths(alice, {"app.bsky.feed.like"}) == words{"app.bsky.feed.like/a"});
  CHECK(rig.paths(alice, {"app.bsky.feed.post", "app.bsky.feed.like.extra", "app.bsky.feed.post"}) ==
        words{"app.bsky.feed.like.extra/b", "app.bsky.feed.post/c"});
  CHECK(rig.paths("did:plc:nothing", {}).empty());
  CHECK(rig.paths(alice, {"app.bsky.graph.follow"}).empty());
  CHECK(rig.paths(alice, {"*", "app.>"}).empty());
  CHECK(rig.run(rig.read("alice", {})).error().code == errc::malformed);
  CHECK(rig.consumers() == 0);
}

TEST_CASE("collections of 3 to 63 segments are found without their names") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  words expected;
  for (const int segments : {3, 4, 5, 6, 7, 8, 9, 10, 31, 63}) {
    std::string collection = "com";
    for (int i = 1; i < segments; ++i) collection += ".a";
    rig.put(alice, collection, "self");
    rig.put(neighbours(1).front(), collection, "self");
    expected.push_back(collection + "/self");
  }
  std::ranges::sort(expected);
  CHECK(rig.paths() == expected);
}

TEST_CASE("the order is that of the paths, and escaped record keys are decoded") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  words expected;
  for (const auto* collection : {"a.b.c", "a.b.c-d.e", "a.b.cd", "a.b.c.d"})
    for (const auto* rkey : {"self", "did:web:x.example", "~1.2-3_", "3k5nobkf2w72g", "A", "a"}) {
      rig.put(alice, collection, rkey);
      expected.push_back(std::string(collection) + "/" + rkey);
    }
  std::ranges::sort(expected);
  CHECK(rig.paths() == expected);
}

TEST_CASE("a key without a value, or of a foreign form, does not count") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  for (const auto* rkey : {"deleted", "purged", "empty", "again", "stays"}) rig.put(alice, "a.b.c", rkey);
  rig.mark(alice, "a.b.c", "deleted", "DEL");
  rig.mark(alice, "a.b.c", "purged", "PURGE");
  rig.put(alice, "a.b.c", "empty", "");
  rig.mark(alice, "a.b.c", "again", "DEL");
  const auto newest = rig.put(alice, "a.b.c", "again", R"({"n":2})");
  const auto account = kv::encode_part(alice);
  rig.publish("$KV.record.4.a.b.c." + account + "./41bc", "{}");  // a needless escape
  rig.publish("$KV.record.4.a.b.c." + account + ".x/3ay", "{}");  // an escape in lower case
  rig.publish("$KV.record.4.a.b.c." + account + ".a=b", "{}");    // no record key
  rig.publish("$KV.record.4.a.b./63d." + account + ".x", "{}");   // no NSID
  rig.publish("$KV.record.5.a.b.c." + account + ".x", "{}");      // another partition
  rig.publish("$KV.record.4.a.b." + account + ".x", "{}");        // a collection of two segments
  rig.publish("$KV.record.4.a.b.c.d." + account + ".x.y", "{}");  // a token too many
  rig.publish("$KV.record.4.a.b.c.did/3Aplc/3A44YBARD66VV44ZKSJE25O7DZ.x", "{}");
  for (const words& collections : {words{}, words{"a.b.c"}}) {
    CHECK(rig.paths(alice, collections) == words{"a.b.c/again", "a.b.c/stays"});
    CHECK(rig.keys(alice, collections).front().seq == newest);
  }
}

TEST_CASE("a value without the header cid is a key that another program has written") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  rig.publish(rig.subject(alice, "a.b.c", "x"), "{}");
  REQUIRE(rig.keys().size() == 1);
  CHECK(rig.keys().front().cid.empty());
}

TEST_CASE("more collections than one consumer may have filters are read as well") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  words collections, expected;
  for (int i = 0; i < 300; ++i) collections.push_back(fmt::format("a.b.c{}", i));
  for (const int i : {0, 63, 64, 150, 299}) {
    rig.put(alice, collections[i], "x");
    expected.push_back(collections[i] + "/x");
  }
  std::ranges::sort(expected);
  CHECK(rig.paths(alice, collections) == expected);
  CHECK(rig.consumers() == 0);
}

namespace {

// Without waiting for each acknowledgement.
void fill(keys_rig& rig, const std::string& did, std::string_view collection, int n) {
  std::vector<nats::request_spec> puts;
  for (int i = 0; i < n; ++i) {
    puts.push_back({.subject = rig.subject(did, collection, fmt::format("3k{:011}", i)), .data = "{}"});
    if (puts.size() < 5000 && i + 1 < n) continue;
    for (const auto& r : rig.run(rig.nc.request_all(std::exchange(puts, {})))) REQUIRE(r.has_value());
  }
}

}  // namespace

TEST_CASE("what is read before a reconnect counts once") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  fill(rig, alice, "a.b.c", 40'000);
  bool restarted = false;
  int asked = 0;
  std::optional<result<std::vector<kv::stored_key>>> found;
  auto go_on = [&] {
    ++asked;
    return true;
  };
  asio::co_spawn(rig.io, rig.read(alice, {"a.b.c"}, go_on),
                 [&](std::exception_ptr, result<std::vector<kv::stored_key>> r) { found = std::move(r); });
  // asked before the consumer is made, by the watcher, and before each batch
  REQUIRE(rig.waits_for([&] { return asked >= 4 || found; }));
  REQUIRE_FALSE(found);
  rig.restart_server();
  restarted = true;
  REQUIRE(rig.waits_for([&] { return found.has_value(); }, 60s));
  CHECK(restarted);
  if (!*found) FAIL(found->error().text);
  REQUIRE((*found)->size() == 40'000);
  CHECK((*found)->front().rkey == "3k00000000000");
  CHECK((*found)->back().rkey == "3k00000039999");
}

TEST_CASE("a reading that is stopped ends, also while the server is away") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  fill(rig, alice, "a.b.c", 20'000);
  bool going = true;
  int asked = 0;
  std::optional<result<std::vector<kv::stored_key>>> found;
  auto go_on = [&] {
    ++asked;
    return going;
  };
  asio::co_spawn(rig.io, rig.read(alice, {"a.b.c"}, go_on),
                 [&](std::exception_ptr, result<std::vector<kv::stored_key>> r) { found = std::move(r); });
  REQUIRE(rig.waits_for([&] { return asked >= 4 || found; }));
  REQUIRE_FALSE(found);
  rig.server.kill_9();
  REQUIRE(rig.waits_for([&] { return !rig.nc.up(); }));
  going = false;
  REQUIRE(rig.waits_for([&] { return found.has_value(); }));
  CHECK(found->error().code == errc::closed);
}

TEST_CASE("while other keys are overwritten, none that stands still is missing") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  const int n = rig.by_consumers ? 5000 : 1000;
  fill(rig, alice, "a.b.c", n);
  std::optional<result<std::vector<kv::stored_key>>> found;
  asio::co_spawn(rig.io, rig.read(alice, {"a.b.c"}),
                 [&](std::exception_ptr, result<std::vector<kv::stored_key>> r) { found = std::move(r); });
  for (int i = 0; i < n && !found; i += 2) rig.put(alice, "a.b.c", fmt::format("3k{:011}", i));
  REQUIRE(rig.waits_for([&] { return found.has_value(); }));
  if (!*found) FAIL(found->error().text);
  CHECK(odd_ones(**found) == static_cast<std::size_t>(n) / 2);
}

TEST_CASE("up to 1024 keys are read without a consumer, more with one") {
  keys_rig rig;
  fill(rig, alice, "a.b.c", 1000);
  CHECK(rig.keys().size() == 1000);
  CHECK(rig.count(rig.asked) == 1000 / 64 + 1);
  CHECK(rig.count(rig.made) == 0);
  fill(rig, alice, "a.b.d", 24);
  CHECK(rig.keys(alice, {"a.b.c", "a.b.d"}).size() == 1024);
  CHECK(rig.count(rig.made) == 0);
  fill(rig, alice, "a.b.e", 76);
  CHECK(rig.keys(alice, {"a.b.c", "a.b.d"}).size() == 1024);
  CHECK(rig.count(rig.made) == 0);
  CHECK(rig.keys().size() == 1100);
  CHECK(rig.keys(alice, {"a.b.c", "a.b.d", "a.b.e"}).size() == 1100);
  CHECK(rig.count(rig.made) > 0);
}

TEST_CASE("values that exceed one request's bytes are read with several requests") {
  keys_rig rig;
  for (int i = 0; i < 20; ++i) rig.put(alice, "a.b.c", fmt::format("k{:02}", i), std::string(900'000, 'x'));
  const auto found = rig.keys();
  REQUIRE(found.size() == 20);
  for (std::size_t i = 0; i < 20; ++i) CHECK(found[i].cid == fmt::format("cid-of-k{:02}", i));
  CHECK(rig.count(rig.asked) == 2);  // ten answers are more than eight megabytes
  CHECK(rig.count(rig.made) == 0);
}

TEST_CASE("a key that is overwritten between two requests is not missed") {
  keys_rig rig;
  fill(rig, alice, "a.b.c", 200);
  const auto overwritten = rig.subject(alice, "a.b.c", fmt::format("3k{:011}", 199));
  bool done = false;
  auto go_on = [&] {  // first called after the first request and before its answers
    if (!std::exchange(done, true)) REQUIRE(rig.nc.publish(overwritten, "", {{"cid", "new"}}, "{}"));
    return true;
  };
  auto found = rig.run(rig.read(alice, {"a.b.c"}, go_on));
  if (!found) FAIL(found.error().text);
  REQUIRE(found->size() == 200);
  CHECK(found->back().cid == "new");
  CHECK(rig.count(rig.made) == 0);
}

TEST_CASE("a server that is killed between answers is an error, and never a shorter list") {
  keys_rig rig;
  fill(rig, alice, "a.b.c", 500);
  int asked = 0;
  auto go_on = [&] {  // each of the eight requests calls it at least once
    if (++asked == 3) rig.server.kill_9();
    return true;
  };
  auto found = rig.run(rig.read(alice, {"a.b.c"}, go_on));
  REQUIRE_FALSE(found.has_value());
  CHECK(found.error().code == errc::unreachable);
  rig.server.start();
  REQUIRE(rig.waits_for([&] { return rig.nc.up(); }));
  CHECK(rig.keys().size() == 500);
}

TEST_CASE("a stream without direct get is read with consumers") {
  keys_rig rig;
  rig.put(alice, "a.b.c", "x");
  rig.update("KV_record", R"({"allow_direct":false})");
  CHECK(rig.paths() == words{"a.b.c/x"});
  CHECK(rig.count(rig.asked) == 0);
  CHECK(rig.count(rig.made) > 0);
}

TEST_CASE("where direct get is never answered, consumers read") {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("recordkv-silent-{}.conf", ::getpid());
  std::ofstream(file) << R"(mappings { "$JS.API.DIRECT.GET.KV_record": "nowhere" })";
  keys_rig rig(way::direct, {"-c", file.string()});
  std::filesystem::remove(file);
  rig.put(alice, "a.b.c", "x");
  CHECK(rig.paths() == words{"a.b.c/x"});
  CHECK(rig.count(rig.made) > 0);
  CHECK(rig.logged("consumers are asked instead"));
}

TEST_CASE("a value that carries the headers of an answer neither hides a key nor adds one") {
  keys_rig rig;
  const auto before = rig.put(alice, "a.b.c", "x");
  rig.publish(rig.subject(alice, "a.b.c", "y"), "{}",
              {{"Status", "204"},
               {"Nats-Stream", "KV_record"},
               {"Nats-Subject", rig.subject(alice, "a.b.c", "no-key")},
               {"Nats-Sequence", std::to_string(before + 100)},
               {"Nats-Num-Pending", "0"},
               {"Nats-Last-Sequence", std::to_string(before)}});
  CHECK(rig.paths(alice, {"a.b.c"}) == words{"a.b.c/x", "a.b.c/y"});
  CHECK(rig.count(rig.asked) == 1);
}

// Not a test: ./nats-account-keys "[.speed]" -s
TEST_CASE("how fast keys are read", "[.speed]") {
  keys_rig rig(GENERATE(way::direct, way::consumers));
  fmt::print("{}\n", rig.by_consumers ? "consumers" : "direct get");
  const auto others = neighbours(500);
  const words collections{"app.bsky.feed.like", "app.bsky.feed.post", "app.bsky.graph.follow", "app.bsky.feed.repost",
                          "app.bsky.actor.profile"};
  std::vector<nats::request_spec> puts;
  const auto put = [&](const std::string& did, int i) {
    puts.push_back({.subject = rig.subject(did, collections[i % 5], fmt::format("3k{:011}", i)),
                    .data = std::string(300, 'x'),
                    .headers = {{"cid", std::string(59, 'c')}, {"rev", "3kabcdefgh222"}}});
    if (puts.size() >= 5000) (void)rig.run(rig.nc.request_all(std::exchange(puts, {}), 60s), 60s);
  };
  for (int i = 0; i < 200'000; ++i) {
    put(fmt::format("did:plc:{:024}", i % 20'000), i);
    if (i % 2000 == 0) put(alice, i / 2000);
    if (i % 200 == 0) put("did:plc:thousand", i / 200);
  }
  const auto measure = [&](const std::string& did, const words& of, std::string_view what) {
    for (int i = 0; i < 3; ++i) {
      const auto begun = std::chrono::steady_clock::now();
      auto found = rig.run(rig.read(did, of), 100s);
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
      fmt::print("{}: {} keys, {:.1f} ms, {:.0f} keys/s\n", what, found->size(), took.count(),
                 1000. * static_cast<double>(found->size()) / took.count());
    }
  };
  (void)rig.run(rig.nc.request_all(std::exchange(puts, {}), 60s), 60s);
  rig.restart_server();
  REQUIRE(rig.waits_for([&] { return rig.nc.up(); }));
  (void)rig.info("KV_record");  // the server has recovered
  measure(alice, collections, "5 collections");
  measure(alice, {collections[0]}, "1 collection");
  measure(alice, {}, "any collection");
  measure("did:plc:none", collections, "none, 5 collections");
  measure("did:plc:none", {}, "none, any collection");
  measure("did:plc:thousand", collections, "a thousand keys, 5 collections");
  measure("did:plc:thousand", {}, "a thousand keys, any collection");
  for (int i = 0; i < 300'000; ++i) put("did:plc:large", i);
  measure("did:plc:large", collections, "large, 5 collections");
  measure("did:plc:large", {}, "large, any collection");
}
