// The signed network's trees, keys and encodings, against known values and against themselves in another order.
// test/oracle/test_signed_network.py reads what comes of them on the wire.

#include "../simulator/signed/accounts.hpp"
#include "../simulator/signed/cbor_json.hpp"
#include "../simulator/signed/kept_exports.hpp"
#include "../simulator/signed/repo.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace recordkv::sim;

namespace {

std::string text_of(const cid& c) {
  std::string out;
  c.append_text(out);
  return out;
}

record_ptr record_at(std::string path, std::uint64_t value) {
  auto out = std::make_shared<record>();
  out->path = std::move(path);
  out->cid = cid::of(std::to_string(value));
  return out;
}

std::string some_path(draw& d) { return "com.example.thing/" + std::to_string(d.below(400)); }

tree tree_of(const std::map<std::string, record_ptr>& records) {
  tree out;
  for (const auto& [path, r] : records) out.put(r);
  return out;
}

commit_author author(curve c) { return {.did = "did:plc:a", .curve = c, .key = signing_key::of(1, 2, 3, c)}; }

}  // namespace

TEST_CASE("heights and the empty tree are those of the specification") {
  // atproto-interop-tests, mst/key_heights.json
  CHECK(height_of("asdf") == 0);
  CHECK(height_of("blue") == 1);
  CHECK(height_of("88bfafc7") == 2);
  CHECK(height_of("2a92d355") == 4);
  CHECK(height_of("884976f5") == 6);
  CHECK(height_of("app.bsky.feed.post/9adeb165882c") == 8);
  CHECK(text_of(tree().root()) == "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
}

TEST_CASE("a tree depends on what is in it, not on how it came there") {
  draw d(1, 1);
  tree grown;
  std::map<std::string, record_ptr> records;
  for (std::uint32_t i = 0; i < 4'000; ++i) {
    std::string path = some_path(d);
    if (records.contains(path) && d.one_in(2)) {
      records.erase(path);
      grown.remove(path);
    } else {
      grown.put(records[path] = record_at(path, d.next()));
    }
    if (i % 40 == 0) REQUIRE(grown.root() == tree_of(records).root());
    if (i == 3'000) {  // and down to nothing
      for (const auto& [gone, r] : std::exchange(records, {})) grown.remove(gone);
      REQUIRE(grown.empty());
      REQUIRE(grown.root() == tree().root());
    }
  }
  std::vector<std::string> paths;
  grown.visit([&](const record& r) { paths.push_back(r.path); });
  CHECK(std::ranges::equal(paths, records, {}, {}, [](const auto& item) { return item.first; }));
}

TEST_CASE("neighbours are those of a sorted map") {
  draw d(2, 1);
  tree t;
  std::map<std::string, record_ptr> records;
  for (int i = 0; i < 150; ++i) {
    const std::string path = some_path(d);
    t.put(records[path] = record_at(path, 1));
  }
  for (int i = 0; i < 400; ++i) {
    const std::string path = "com.example.thing/" + std::to_string(i);
    const auto at = records.lower_bound(path), above = records.upper_bound(path);
    const record* before = t.before(path);
    const record* after = t.after(path);
    REQUIRE((before == nullptr) == (at == records.begin()));
    REQUIRE((before == nullptr || before == std::prev(at)->second.get()));
    REQUIRE((after == nullptr) == (above == records.end()));
    REQUIRE((after == nullptr || after == above->second.get()));
    REQUIRE((t.find(path) != nullptr) == records.contains(path));
  }
}

TEST_CASE("a proof holds every node that a change has made") {
  draw d(3, 1);
  tree now;
  for (int i = 0; i < 300; ++i) now.put(record_at(some_path(d), 0));
  for (int round = 0; round < 300; ++round) {
    std::vector<cid> old;
    for (const tree_block& b : now.blocks()) old.push_back(b.cid);
    std::vector<std::string> paths;
    for (std::uint32_t i = 0; i < 1 + d.below(8); ++i) {
      const std::string path = some_path(d);
      now.find(path) != nullptr&& d.one_in(2) ? now.remove(path) : now.put(record_at(path, d.next()));
      paths.push_back(path);
    }
    const std::vector<std::string_view> views(paths.begin(), paths.end());
    const std::vector<tree_block> proof = now.proof(views);
    for (const tree_block& b : now.blocks()) {
      const bool known = std::ranges::find(old, b.cid) != old.end();
      REQUIRE((known || std::ranges::find(proof, b) != proof.end()));
    }
  }
}

TEST_CASE("a commit names what was before, and signs what is") {
  for (const curve c : {curve::k256, curve::p256}) {
    const change first{"a.b.c/1", record_at("a.b.c/1", 1)};
    const committed one = commit({}, {&first, 1}, 7, author(c));
    CHECK(one.ops[0].cid == first.value->cid);
    CHECK_FALSE(one.ops[0].prev);
    const change second{"a.b.c/1", nullptr};
    const committed two = commit(one.after, {&second, 1}, 8, author(c));
    CHECK(two.ops[0].prev == first.value->cid);
    CHECK(two.after.data == tree().root());
    CHECK(one.after.data != two.after.data);
    CHECK(one.after.records.find("a.b.c/1") != nullptr);  // what was stays what it was
    CHECK(one.after.commit_block == commit({}, {&first, 1}, 7, author(c)).after.commit_block);
  }
}

TEST_CASE("likes are shared out among the accounts, the first ones taking what is left over") {
  const world w({.accounts = 5});
  accounts all(w, {.settled = 100, .records = 0, .likes = 13, .pds = {"http://a"}});
  std::vector<std::size_t> likes;
  for (std::uint32_t n = 0; n < all.size(); ++n) {
    std::size_t count = 0;
    all.at(n).repo.records.visit([&](const record& r) { count += r.path.starts_with("app.bsky.feed.like/"); });
    likes.push_back(count);
  }
  CHECK(likes == std::vector<std::size_t>{3, 3, 3, 2, 2});
}

TEST_CASE("an export is kept until the repo has another commit") {
  const world w({.accounts = 2});
  accounts all(w, {.settled = 100, .records = 9, .pds = {"http://a"}});
  kept_exports exports;
  CHECK(exports.find(all.at(0), all.at(0).repo) == nullptr);
  exports.make(all);
  for (std::uint32_t n = 0; n < all.size(); ++n) {
    const account& a = all.at(n);
    CHECK(*exports.find(a, a.repo) == car_of_repo(a.repo, is_reversed(a)));
    const change more{"a.b.c/1", record_at("a.b.c/1", 1)};
    const repo later = commit(a.repo, {&more, 1}, a.repo.rev + 1, all.author_of(a)).after;
    CHECK(exports.find(a, later) == nullptr);
  }
}

TEST_CASE("keys have their form, and high S is the other root") {
  CHECK(signing_key::of(1, 2, 3, curve::k256).multikey().starts_with("zQ3s"));
  CHECK(signing_key::of(1, 2, 3, curve::p256).multikey().starts_with("zDn"));
  CHECK(base58("Hello World!") == "2NEpo7TZRRrLZSi2U");
  CHECK(base58(std::string_view("\0\0a", 3)) == "112g");
  for (const curve c : {curve::k256, curve::p256}) {
    const signature low = signing_key::of(1, 2, 3, c).sign("text");
    const signature high = high_s(c, low);
    CHECK(low == signing_key::of(1, 2, 3, c).sign("text"));
    CHECK(low != signing_key::of(1, 2, 4, c).sign("text"));
    CHECK(low[32] < 0x80);
    CHECK(high[32] >= 0x7f);
    CHECK(high != low);
    CHECK(high_s(c, high) == low);
    CHECK(std::equal(low.begin(), low.begin() + 32, high.begin()));
  }
}

TEST_CASE("JSON read from CBOR is the JSON that was written beside it") {
  draw d(4, 1);
  const setting s{.author = "did:plc:a", .other = "did:plc:b", .post_author = "did:plc:c", .post = {}, .time_us = 1};
  for (std::size_t c = 0; c < collections.size(); ++c) {
    for (int i = 0; i < 200; ++i) {
      record_writer w;
      write_record(w, static_cast<collection>(c), s, d);
      REQUIRE(json_of(w.cbor()) == w.json());
    }
  }
}
