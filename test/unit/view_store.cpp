// What a build's rows, rejects and position become by changes.
#include "view_fixture.hpp"

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

TEST_CASE("a new view stands empty and live at once; rows and position move together and survive") {
  const directory d;
  const plan p = likes();
  std::uint64_t number = 0;
  {
    auto s = must_open(d);
    CHECK_FALSE(must(run(s->look("likes"))).live.has_value());
    const auto b = must(run(s->begin(p, at(0), 0, 0)));
    number = b.number;
    const auto seen = must(run(s->look("likes")));
    REQUIRE((seen.live && seen.next));
    CHECK(seen.live->at == position{});
    CHECK(seen.live->hash == p.hash());
    CHECK(seen.next->number == number);
    CHECK(seen.next->at == at(0));
    CHECK(rows(d).empty());
    const auto done = must(run(s->apply(p, number, {put("b", "2", "y"), put("a", "1", "x")}, at(0), at(10))));
    CHECK(done.rows == 2);
    CHECK_FALSE(done.live);
    CHECK(rows(d).empty());
    CHECK(must(run(s->ready(p, number, {"0"}, {"0"}))));
  }
  auto s = must_open(d);
  const auto seen = must(run(s->look("likes")));
  REQUIRE(seen.live);
  CHECK_FALSE(seen.next);
  CHECK(seen.live->number == number);
  CHECK(seen.live->at == at(10));
  CHECK(seen.live->definition == p.definition);
  CHECK(rows(d) == lines{"a 1 x 7 1", "b 2 y 7 1"});
  CHECK(rows(d, "likes_by_subject") == lines{"x 1", "y 1"});
  CHECK(must(run(s->views())) == lines{"likes"});
}

TEST_CASE("updates move a row, deletes remove it, misfits leave no older row behind") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  const auto n = must_live(*s, p);
  must(
      run(s->apply(p, n, {put("a", "1", "x"), put("a", "2", "x"), put("a", "3", "x"), put("a", "5", "x")}, {}, at(1))));
  change unwanted = put("a", "5", "x");
  unwanted.rows.clear();
  const auto done = must(run(s->apply(p, n,
                                      {put("a", "1", "y"), del("a", "2"), rejected("a", "3", "no subject", 12),
                                       rejected("a", "4", "no JSON", 11), unwanted, del("a", "9")},
                                      at(1), at(2))));
  CHECK(done.rows == 1);
  CHECK(done.rejected == 2);
  CHECK(done.erased == 3);
  CHECK(done.live);
  CHECK(rows(d) == lines{"a 1 y 7 1"});
  CHECK(rows(d, "likes_by_subject") == lines{"y 1"});
  CHECK(rows(d, "likes", {{"subject", "x"}}).empty());
  const auto all = must(run(s->rejects("likes", 10)));
  REQUIRE(all.size() == 2);
  CHECK(all[0].uri == "at://a/app.bsky.feed.like/4");  // oldest first
  CHECK(all[0].seq == 11);
  CHECK(all[1].reason == "no subject");
  CHECK(must(run(s->rejects("likes", 1))).size() == 1);
  CHECK(run(s->rejects("lieks", 1)).error().code == errc::not_found);
}

TEST_CASE("a reject goes with the next change of its record, whatever that is") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  const auto n = must_live(*s, p);
  const auto bad = [](std::string rkey, std::string why) { return rejected("a", std::move(rkey), std::move(why)); };
  must(run(s->apply(p, n, {bad("1", "p"), bad("2", "q"), bad("3", "r"), bad("4", "s")}, {}, at(1))));
  change unwanted = put("a", "4", "x");
  unwanted.rows.clear();
  must(run(s->apply(p, n, {put("a", "1", "x"), del("a", "2"), bad("3", "newer"), unwanted}, at(1), at(2))));
  CHECK(rows(d, "likes_rejects") == lines{"at://a/app.bsky.feed.like/3 newer 1"});
}

TEST_CASE("within a batch the last change of a key wins") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  const auto n = must_live(*s, p);
  const auto done = must(run(s->apply(p, n,
                                      {put("a", "1", "x"), del("a", "1"), put("a", "1", "y"), put("a", "2", "x"),
                                       del("a", "2"), rejected("a", "3", "m"), put("a", "3", "z")},
                                      {}, at(1))));
  CHECK(rows(d) == lines{"a 1 y 7 1", "a 3 z 7 1"});
  CHECK(done.rows == 2);
  CHECK(done.rejected == 0);
  CHECK(rows(d, "likes_rejects").empty());
}

TEST_CASE("a batch that comes again changes nothing") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  const auto n = must_live(*s, p);
  const std::vector<change> batch{put("a", "1", "x"), del("a", "2"), put("a", "3", "z")};
  must(run(s->apply(p, n, batch, {}, at(5))));
  const auto before = rows(d);
  must(run(s->apply(p, n, batch, at(5), at(5))));
  CHECK(rows(d) == before);
  CHECK(rows(d, "likes_by_subject") == lines{"x 1", "z 1"});
}

TEST_CASE("changes of another collection are not this view's, in bulk neither") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  change post = put("a", "1", "x");
  post.collection = "app.bsky.feed.post";
  const auto b = must(run(s->begin(p, at(0), 100, 0)));
  CHECK(must(run(s->apply(p, b.number, {post}, at(0), at(1)))).rows == 0);
  must(run(s->end_bulk(p, b.number)));
  CHECK(must(run(s->apply(p, b.number, {post}, at(1), at(2)))).rows == 0);
}

TEST_CASE("a row an element: the rows of a key are replaced as a whole") {
  const directory d;
  auto s = must_open(d);
  const plan p = tags();
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n, {tagged("a", "1", {"x", "", "y", "x"}), tagged("b", "1", {"x"})}, {}, at(1))));
  CHECK(rows(d, "tags") == lines{"a 1 0 x", "a 1 1 NULL", "a 1 2 y", "a 1 3 x", "b 1 0 x"});
  CHECK(rows(d, "tags_by_tag") == lines{"x 3", "y 1"});
  const auto done = must(run(s->apply(p, n, {tagged("a", "1", {"y", "z"})}, at(1), at(2))));
  CHECK(done.rows == 2);
  CHECK(done.erased == 2);
  CHECK(rows(d, "tags") == lines{"a 1 0 y", "a 1 1 z", "b 1 0 x"});
  CHECK(rows(d, "tags_by_tag") == lines{"x 1", "y 1", "z 1"});
  CHECK(must(run(s->apply(p, n, {del("a", "1"), tagged("b", "1", {})}, at(2), at(3)))).erased == 3);
  CHECK(rows(d, "tags").empty());
  CHECK(rows(d, "tags_by_tag").empty());
}

TEST_CASE("what a bulk leaves is what changes one by one would have left") {
  const directory d;
  auto s = must_open(d);
  for (const auto& p : {likes(), tags()}) {
    const auto b = must(run(s->begin(p, at(0), 1000, 0)));
    CHECK(b.bulk_until == 1000);
    const bool many = p.many();
    const auto some = [&](int i) {
      auto did = fmt::to_string(100 - i);
      return many ? tagged(did, "1", {"x", ""}) : put(did, "1", i % 2 == 0 ? "x" : "y");
    };
    std::vector<change> batch;
    for (int i = 0; i < 10; ++i) batch.push_back(some(i));
    batch.push_back(del("z", "1"));
    batch.push_back(rejected("z", "2", "no", 77));
    const auto done = must(run(s->apply(p, b.number, batch, at(0), at(1))));
    CHECK(done.rows == (many ? 20 : 10));
    CHECK(done.rejected == 1);
    CHECK(done.erased == 0);
    CHECK(run(s->ready(p, b.number, {"0"}, {"0"})).error().code == errc::refused);
    CHECK(must(run(s->look(p.name))).next->bulk_until == 1000);
    must(run(s->end_bulk(p, b.number)));
    must(run(s->end_bulk(p, b.number)));
    CHECK(must(run(s->look(p.name))).next->bulk_until == 0);
    must(run(s->apply(p, b.number, {many ? tagged("100", "1", {"w"}) : put("100", "1", "w"), put("z", "2", "v")}, at(1),
                      at(2))));
    CHECK(must(run(s->ready(p, b.number, {"0"}, {"0"}))));
  }
  CHECK(rows(d, "likes_by_subject") == lines{"y 5", "x 4", "v 1", "w 1"});
  CHECK(rows(d, "tags_by_tag") == lines{"x 9", "v 1", "w 1"});
  CHECK(rows(d, "likes_rejects").empty());
  const other shell(d);
  CHECK(shell.ask("SELECT count(*) FROM sqlite_master WHERE type = 'index' AND tbl_name = 'likes'") == lines{"2"});
  CHECK(shell.ask("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == lines{"6"});
}

TEST_CASE("retry: a change counts only while its reject stands with its sequence") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  CHECK(run(s->retry(p, {})).error().code == errc::not_found);
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n,
                    {rejected("a", "1", "p", 11), rejected("a", "2", "q", 12), rejected("a", "3", "r", 13),
                     put("a", "4", "live", 14)},
                    {}, at(14))));
  CHECK(must(run(s->retry(p, {put("a", "1", "x", 11), put("a", "2", "stale", 9), rejected("a", "3", "still", 13),
                              put("a", "4", "older", 10), put("b", "1", "never", 1)}))) == 1);
  CHECK(rows(d) == lines{"a 1 x 7 1", "a 4 live 7 1"});
  CHECK(rows(d, "likes_by_subject") == lines{"live 1", "x 1"});
  CHECK(rows(d, "likes_rejects") == lines{"at://a/app.bsky.feed.like/2 q 12", "at://a/app.bsky.feed.like/3 still 13"});
  CHECK(must(run(s->retry(p, {put("a", "1", "again", 11)}))) == 0);
  CHECK(must(run(s->look("likes"))).live->at == at(14));
  CHECK(run(s->retry(likes("where = [ { pointer = \"/n\" , exists = true } ]"), {})).error().code == errc::conflict);
}

TEST_CASE("X21: shares of one view move their own partitions, beside each other") {
  const directory d;
  auto s = must_open(d);
  auto second = must_open(d);
  const plan p = likes();
  const auto share = [&](std::map<std::string, std::uint64_t> seq) {
    return position{.created = at(1).created, .generation = at(1).generation, .seq = std::move(seq)};
  };
  const auto n = must_live(*s, p, share({}));
  must(run(s->apply(p, n, {put("a", "1", "x")}, share({}), share({{"0", 5}, {"1", 5}}))));
  must(run(second->apply(p, n, {put("b", "1", "x")}, share({}), share({{"2", 9}}))));
  must(run(s->apply(p, n, {put("a", "2", "x")}, share({{"0", 5}, {"1", 5}}), share({{"0", 7}, {"1", 7}}))));
  const std::map<std::string, std::uint64_t> all{{"0", 7}, {"1", 7}, {"2", 9}};
  CHECK(must(run(s->look("likes"))).live->at.seq == all);
  // A process that knows an older position of its partition moves neither it, nor anything else.
  auto late = run(second->apply(p, n, {put("c", "1", "x")}, share({{"1", 5}, {"2", 9}}), share({{"1", 8}, {"2", 10}})));
  CHECK(late.error().code == errc::conflict);
  CHECK(must(run(s->look("likes"))).live->at.seq == all);
  CHECK(rows(d).size() == 3);
  CHECK(rows(d, "likes_by_subject") == lines{"x 3"});
}
