// Two builds of a view: which exist, what a reader sees while they are swapped, and which calls are refused.
#include "view_fixture.hpp"

#include <atomic>
#include <thread>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

plan wider() { return likes("where = [ { pointer = \"/subject\", exists = true } ]"); }

}  // namespace

TEST_CASE("a changed definition builds beside the old one, which answers until the new one takes its place") {
  const directory d;
  auto s = must_open(d);
  const plan old = likes();
  const plan changed = wider();
  REQUIRE(old.hash() != changed.hash());
  const auto first = must_live(*s, old);
  must(run(s->apply(old, first, {put("a", "1", "x")}, {}, at(1))));
  const auto b = must(run(s->begin(changed, at(0), 0, 0)));
  CHECK(b.number > first);
  must(run(s->apply(changed, b.number, {put("a", "1", "new")}, at(0), at(1))));
  must(run(s->apply(old, first, {put("a", "2", "x")}, at(1), at(2))));
  CHECK(rows(d) == lines{"a 1 x 7 1", "a 2 x 7 1"});
  CHECK(run(s->apply(old, b.number, {}, at(1), at(2))).error().code == errc::conflict);  // of another definition
  CHECK(must(run(s->ready(changed, b.number, {"0"}, {"0"}))));
  CHECK(rows(d) == lines{"a 1 new 7 1"});
  CHECK(rows(d, "likes_by_subject") == lines{"new 1"});
  CHECK(run(s->apply(old, first, {put("a", "3", "x")}, at(2), at(3))).error().code == errc::conflict);
  CHECK(run(s->ready(changed, b.number, {"0"}, {"0"})).error().code == errc::conflict);
  // The statements that were prepared for the next build are made anew for the live one.
  CHECK(must(run(s->apply(changed, b.number, {put("a", "1", "newer")}, at(1), at(2)))).live);
  CHECK(rows(d, "likes_by_subject") == lines{"newer 1"});
  const other shell(d);
  CHECK(shell.ask("SELECT name FROM sqlite_master WHERE name LIKE '%next%'").empty());
  CHECK(shell.ask("SELECT number FROM recordkv_builds") == lines{fmt::to_string(b.number)});
}

TEST_CASE("a build takes its place once every partition has caught up") {
  const directory d;
  auto s = must_open(d);
  auto second = must_open(d);
  const plan p = likes();
  const auto b = must(run(s->begin(p, at(0), 0, 0)));
  CHECK_FALSE(must(run(s->ready(p, b.number, {"0", "1"}, {"0", "1", "2", "3"}))));
  CHECK_FALSE(must(run(s->ready(p, b.number, {"0"}, {"0", "1", "2", "3"}))));
  CHECK(must(run(s->look("likes"))).next.has_value());
  CHECK_FALSE(must(run(second->ready(p, b.number, {"3"}, {"0", "1", "2", "3"}))));
  CHECK(must(run(second->ready(p, b.number, {"2"}, {"0", "1", "2", "3"}))));
  CHECK(must(run(s->look("likes"))).live->number == b.number);
}

TEST_CASE("begin is compare-and-set; abandon takes only the build that it names") {
  const directory d;
  auto s = must_open(d);
  auto second = must_open(d);
  const plan p = likes();
  const auto one = must(run(s->begin(p, at(0), 0, 0)));
  CHECK(run(second->begin(p, at(0), 0, 0)).error().code == errc::conflict);
  const auto two = must(run(second->begin(p, at(0), 0, one.number)));
  CHECK(two.number > one.number);
  CHECK(run(s->apply(p, one.number, {put("a", "1", "x")}, at(0), at(1))).error().code == errc::conflict);
  must(run(s->abandon("likes", one.number)));
  CHECK(must(run(s->look("likes"))).next->number == two.number);
  must(run(s->abandon("likes", two.number)));
  const auto seen = must(run(s->look("likes")));
  CHECK_FALSE(seen.next.has_value());
  CHECK(seen.live.has_value());
  CHECK(run(s->begin(p, at(0), 0, two.number)).error().code == errc::conflict);
  CHECK(must(run(s->begin(p, at(0), 0, 0))).number > two.number);  // a number never comes again
}

TEST_CASE("the wish for a rebuild stands until a build is begun") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  CHECK(run(s->want_rebuild("likes")).error().code == errc::not_found);
  const auto n = must_live(*s, p);
  CHECK_FALSE(must(run(s->look("likes"))).rebuild_wanted);
  must(run(s->want_rebuild("likes")));
  CHECK(must(run(must_open(d)->look("likes"))).rebuild_wanted);
  const auto b = must(run(s->begin(p, at(0), 0, 0)));
  CHECK_FALSE(must(run(s->look("likes"))).rebuild_wanted);
  must(run(s->want_rebuild("likes")));  // again, while the first is on its way: it outlives the swap
  must(run(s->ready(p, b.number, {"0"}, {"0"})));
  CHECK(must(run(s->look("likes"))).rebuild_wanted);
  CHECK(b.number != n);
}

TEST_CASE("drop removes all of a view and nothing of another") {
  const directory d;
  auto s = must_open(d);
  must_live(*s, likes());
  must_live(*s, tags());
  must(run(s->begin(likes(), at(0), 0, 0)));
  must(run(s->drop("likes")));
  CHECK(must(run(s->views())) == lines{"tags"});
  const other shell(d);
  CHECK(shell.ask("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name") ==
        lines{"recordkv_builds", "tags", "tags_by_tag", "tags_rejects"});
  must(run(s->drop("likes")));
  must_live(*s, likes());
}

TEST_CASE("a user's VIEW over the tables survives a swap") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  must_live(*s, p);
  other(d).run("CREATE VIEW best AS SELECT subject FROM likes JOIN likes_by_subject USING (subject)");
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n, {put("a", "1", "x")}, {}, at(1))));
  CHECK(other(d).ask("SELECT * FROM best") == lines{"x"});
}

TEST_CASE("readers through swap after swap: always one whole build, no error, no wait for it") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  constexpr int size = 50;
  const auto build_of = [&](int round) {
    const auto next = must(run(s->look("likes"))).next;
    const auto b = must(run(s->begin(p, at(0), round % 2 == 0 ? 100 : 0, next ? next->number : 0)));
    for (int i = 0; i < size; ++i)
      must(run(s->apply(p, b.number, {put(fmt::to_string(i), "1", fmt::to_string(round))},
                        at(static_cast<std::uint64_t>(i)), at(static_cast<std::uint64_t>(i) + 1))));
    must(run(s->end_bulk(p, b.number)));
    must(run(s->ready(p, b.number, {"0"}, {"0"})));
  };
  build_of(0);
  std::atomic<int> asked = 0;
  std::string wrong;                                      // of the reader, read once it has ended
  std::jthread reader([&](const std::stop_token& stop) {  // ends also when the test does
    // One connection with a statement that lives through all swaps, as an application's.
    sqlite3* db = nullptr;
    sqlite3_stmt* one = nullptr;
    sqlite3_open(d.file().c_str(), &db);
    sqlite3_prepare_v2(db,
                       "SELECT count(*), count(DISTINCT subject), (SELECT sum(count) FROM likes_by_subject), "
                       "(SELECT count(*) FROM likes_by_subject) FROM likes",
                       -1, &one, nullptr);
    while (!stop.stop_requested() && wrong.empty()) {
      const int code = sqlite3_step(one);
      if (code != SQLITE_ROW)
        wrong = fmt::format("{}: {}", code, sqlite3_errmsg(db));
      else if (sqlite3_column_int(one, 0) != size || sqlite3_column_int(one, 1) != 1 ||
               sqlite3_column_int(one, 2) != size || sqlite3_column_int(one, 3) != 1)
        wrong = fmt::format("{} rows of {} builds, {} counted", sqlite3_column_int(one, 0), sqlite3_column_int(one, 1),
                            sqlite3_column_int(one, 2));
      sqlite3_reset(one);
      const auto found = query(d.database(), "likes", {}, 1000);
      if (!found || found->rows.size() != size) wrong = found ? "query: another size" : found.error().text;
      ++asked;
    }
    sqlite3_finalize(one);
    sqlite3_close(db);
  });
  int round = 1;
  while ((asked < 200 || round < 10) && round < 1000) build_of(round++);
  reader.request_stop();
  reader.join();
  INFO(wrong);
  CHECK(wrong.empty());
  CHECK(asked >= 200);
}

TEST_CASE("a foreign table is left alone, under any name that a build will need") {
  for (const std::string name : {"likes", "likes_by_subject", "likes_rejects", "likes__next", "Likes"}) {
    const directory d;
    auto s = must_open(d);
    other(d).run(fmt::format("CREATE TABLE {} (mine)", name));
    const auto refused = run(s->begin(likes(), at(0), 0, 0));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::mismatch);
    CHECK(refused.error().text.ends_with(
        "exists and is not of view likes; rename the view in likes.toml, or drop the table"));
    CHECK(must(run(s->views())).empty());
    CHECK(other(d).ask(fmt::format("SELECT count(*) FROM {}", name)) == lines{"0"});
  }
}

TEST_CASE("a view that is called as another's counter") {
  const directory d;
  auto s = must_open(d);
  must_live(*s, likes());
  auto p = tags();
  p.name = "likes_by_subject";
  CHECK(run(s->begin(p, at(0), 0, 0)).error().code == errc::mismatch);
  p.name = "likes_by";
  must_live(*s, p);
}

TEST_CASE("a build that has lost a table does not count, and is built anew") {
  for (const std::string table : {"likes", "likes_by_subject", "likes_rejects"}) {
    const directory d;
    auto s = must_open(d);
    must_live(*s, likes());
    other(d).run("DROP TABLE " + table);
    CHECK_FALSE(must(run(s->look("likes"))).live.has_value());
    const auto n = must_live(*s, likes());
    must(run(s->apply(likes(), n, {put("a", "1", "x")}, {}, at(1))));
    CHECK(rows(d) == lines{"a 1 x 7 1"});
  }
}

TEST_CASE("a database of the first format is taken over: its tables go, others stay") {
  const directory d;
  std::filesystem::create_directories(d.path);
  other(d).run(
      "CREATE TABLE recordkv_position (view TEXT PRIMARY KEY, hash TEXT NOT NULL, created TEXT NOT NULL, generation "
      "INTEGER NOT NULL, seq TEXT NOT NULL) WITHOUT ROWID; INSERT INTO recordkv_position VALUES ('likes', 'h', 'c', 1, "
      "'{}'), ('gone', 'h', 'c', 1, '{}'); CREATE TABLE likes (did, subject); CREATE TABLE mine (x)");
  auto s = must_open(d);
  CHECK(must(run(s->views())).empty());
  CHECK(other(d).ask("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name") ==
        lines{"mine", "recordkv_builds"});
  must_live(*s, likes());
  CHECK(rows(d).empty());
}
