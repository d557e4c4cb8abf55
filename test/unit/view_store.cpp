#include "view_fixture.hpp"

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

TEST_CASE("a new view has no position; rows and position move together and survive") {
  const directory d;
  const plan p = likes();
  {
    auto s = must_open(d.file("deep/below/views.db"));
    const auto opened = run(s->prepare(p));
    REQUIRE(opened.has_value());
    CHECK(opened->at == position{});
    CHECK_FALSE(opened->rebuilt);
    const auto done = must_apply(*s, {put("did:plc:b", "2", "at://y"), put("did:plc:a", "1", "at://x")}, {}, at(10));
    CHECK(done.rows == 2);
    CHECK(done.rejected == 0);
  }
  auto s = must_open(d.file("deep/below/views.db"));
  const auto opened = run(s->prepare(p));
  REQUIRE(opened.has_value());
  CHECK(opened->at == at(10));
  CHECK_FALSE(opened->rebuilt);
  CHECK(rows(d.file("deep/below/views.db")) == lines{"did:plc:a/1 at://x", "did:plc:b/2 at://y"});
  CHECK(position_of(d.file("deep/below/views.db")) == at(10));
}

TEST_CASE("updates move a row, deletes remove it, rejected records leave no older row behind") {
  const directory d;
  auto s = must_open(d.file());
  REQUIRE(run(s->prepare(likes())).has_value());
  must_apply(*s, {put("a", "1", "x"), put("a", "2", "x"), put("a", "3", "x")}, {}, at(1));
  change broken = put("a", "3", "y");
  broken.json = R"({"subject":{}})";
  change unheard = put("a", "4", "y");
  unheard.json = "no json";
  const auto done = must_apply(*s, {put("a", "1", "y"), del("a", "2"), broken, unheard, del("a", "9")}, at(1), at(2));
  CHECK(done.rows == 1);
  CHECK(done.rejected == 2);
  CHECK(done.erased == 2);
  CHECK(rows(d.file()) == lines{"a/1 y"});
  CHECK(rows(d.file(), {{"subject", "x"}}).empty());
  CHECK(rows(d.file(), {{"subject", "y"}}) == lines{"a/1 y"});
}

TEST_CASE("within a batch the last change of a key wins") {
  const directory d;
  auto s = must_open(d.file());
  REQUIRE(run(s->prepare(likes())).has_value());
  must_apply(*s, {put("a", "1", "x"), del("a", "1"), put("a", "1", "y"), put("a", "2", "x"), del("a", "2")}, {}, at(1));
  CHECK(rows(d.file()) == lines{"a/1 y"});
}

TEST_CASE("a batch that comes again changes nothing") {
  const directory d;
  auto s = must_open(d.file());
  REQUIRE(run(s->prepare(likes())).has_value());
  const std::vector<change> batch{put("a", "1", "x"), del("a", "2"), put("a", "3", "z")};
  must_apply(*s, batch, {}, at(5));
  const auto before = rows(d.file());
  must_apply(*s, batch, at(5), at(5));
  CHECK(rows(d.file()) == before);
  CHECK(position_of(d.file()) == at(5));
}

TEST_CASE("changes of another collection are not this view's") {
  const directory d;
  auto s = must_open(d.file());
  REQUIRE(run(s->prepare(likes())).has_value());
  change post = put("a", "1", "x");
  post.collection = "app.bsky.feed.post";
  CHECK(must_apply(*s, {post}, {}, at(1)).rows == 0);
  CHECK(rows(d.file()).empty());
}

TEST_CASE("a changed definition rebuilds: rows and position go, and an older process can no longer write") {
  const directory d;
  auto s = must_open(d.file());
  const plan old = likes();
  REQUIRE(run(s->prepare(old)).has_value());
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  plan changed = likes();
  changed.columns.push_back({.name = "extra", .pointer = "/extra"});
  changed.columns[0].index = false;
  {
    auto newer = must_open(d.file());
    const auto opened = run(newer->prepare(changed));
    REQUIRE(opened.has_value());
    CHECK(opened->rebuilt);
    CHECK(opened->at == position{});
    CHECK(rows(d.file()).empty());
    // Even an expected position of nothing does not let the old definition in.
    CHECK(run(s->apply(old, {put("a", "1", "x")}, {}, at(1))).error().code == errc::conflict);
    change c = put("a", "1", "x");
    c.json = R"({"subject":{"uri":"x"},"extra":"e"})";
    REQUIRE(run(newer->apply(changed, {c}, {}, at(2))).has_value());
  }
  const auto found = query(d.file(), "likes", {{"extra", "e"}}, 10);
  REQUIRE(found.has_value());
  CHECK(found->size() == 1);
  // And back again, in the same process that had the older statements prepared.
  const auto opened = run(s->prepare(old));
  REQUIRE(opened.has_value());
  CHECK(opened->rebuilt);
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  CHECK(rows(d.file()) == lines{"a/1 x"});
}

TEST_CASE("clear forgets rows and position") {
  const directory d;
  auto s = must_open(d.file());
  const plan p = likes();
  REQUIRE(run(s->prepare(p)).has_value());
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  CHECK(run(s->clear(p, {.created = "another"})).error().code == errc::conflict);  // cleared by somebody else before
  REQUIRE(run(s->clear(p, at(1))).has_value());
  CHECK(rows(d.file()).empty());
  CHECK(position_of(d.file()) == position{});
  must_apply(*s, {put("a", "2", "x")}, {}, at(1));
  CHECK(rows(d.file()) == lines{"a/2 x"});
}

TEST_CASE("X21: shares of one view move their own partitions, beside each other") {
  const directory d;
  auto s = must_open(d.file());
  auto other = must_open(d.file());
  const plan p = likes();
  const auto created = at(1).created;
  const auto share = [&](std::map<std::string, std::uint64_t> seq) {
    return position{.created = created, .generation = at(1).generation, .seq = std::move(seq)};
  };
  REQUIRE(run(s->prepare(p)).has_value());
  REQUIRE(run(other->prepare(p)).has_value());
  REQUIRE(run(s->apply(p, {}, {}, share({}))).has_value());  // the history, before anybody has a place in it
  REQUIRE(run(s->apply(p, {put("a", "1", "x")}, share({}), share({{"0", 5}, {"1", 5}}))).has_value());
  REQUIRE(run(other->apply(p, {put("b", "1", "x")}, share({}), share({{"2", 9}}))).has_value());
  REQUIRE(run(s->apply(p, {put("a", "2", "x")}, share({{"0", 5}, {"1", 5}}), share({{"0", 7}, {"1", 7}}))).has_value());
  const std::map<std::string, std::uint64_t> all{{"0", 7}, {"1", 7}, {"2", 9}};
  CHECK(position_of(d.file()).seq == all);
  // Who believes in an older place of a partition of his does not move it, nor anything else.
  auto late = run(other->apply(p, {put("c", "1", "x")}, share({{"1", 5}, {"2", 9}}), share({{"1", 8}, {"2", 10}})));
  REQUIRE(late.has_error());
  CHECK(late.error().code == errc::conflict);
  CHECK(position_of(d.file()).seq == all);
  CHECK(rows(d.file()) == lines{"a/1 x", "a/2 x", "b/1 x"});
}

TEST_CASE("several views in one database") {
  const directory d;
  auto s = must_open(d.file());
  plan posts = likes();
  posts.name = "posts_by_text";
  posts.collection = "app.bsky.feed.post";
  plan tricky = likes();  // index "likes:subject" against the index of column "subject" of view "likes"
  tricky.name = "likes_subject";
  REQUIRE(run(s->prepare(likes())).has_value());
  REQUIRE(run(s->prepare(posts)).has_value());
  REQUIRE(run(s->prepare(tricky)).has_value());
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  change post = put("a", "1", "p");
  post.collection = posts.collection;
  REQUIRE(run(s->apply(posts, {post}, {}, at(7))).has_value());
  CHECK(position_of(d.file()) == at(1));
  CHECK(read_position(d.file(), "posts_by_text")->seq == at(7).seq);
}
