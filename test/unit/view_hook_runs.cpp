// Hooks: how their text is taken apart, when they run, and what becomes of a record that they refuse.
#include "sql/hook_text.hpp"
#include "view_fixture.hpp"

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

/// Without the file's checks, which are tested elsewhere: a plan made in code may say anything.
plan hooked(std::string on_put, std::string on_delete = {}) {
  plan p = planned(R"(name = "likes"
collection = "app.bsky.feed.like"
columns = [ { name = "subject", pointer = "/subject", required = true },
  { name = "n", pointer = "/n", type = "integer" },
  { name = "yes", pointer = "/yes", type = "boolean" }, { name = "seen", type = "integer", default = 0 } ]
count = ["subject"]
index = [["subject"]]
on_put = "UPDATE {table} SET seen = 0 WHERE did = :did")");
  p.file = "likes.toml";
  p.on_put = std::move(on_put);
  p.on_delete = std::move(on_delete);
  return p;
}

change hooked_put(std::string did, std::string rkey, std::string_view subject, std::uint64_t seq = 1) {
  auto c = put(std::move(did), std::move(rkey), subject, seq);
  c.rows[0].emplace_back(std::int64_t{0});
  c.cid = "bafy";
  c.json = R"({"x":1})";
  return c;
}

}  // namespace

TEST_CASE("a hook's text: {table} and parameters, but not in strings, names and comments") {
  const auto compiled = must(
      compile_hook(" -- :did;\nINSERT INTO log VALUES (:did, ':cid {table};', \":rkey\", :rkey, :did) /* ; :uri */ ;;\n"
                   "UPDATE {table} SET x = :record::text, y = 'it''s :time' WHERE $$ :rev $$ = 1; ",
                   "li\"kes"));
  REQUIRE(compiled.size() == 2);
  using enum hook_parameter;
  CHECK(compiled[0].sql.ends_with("INSERT INTO log VALUES ($1, ':cid {table};', \":rkey\", $2, $1)   "));
  CHECK(compiled[0].parameters == std::vector{did, rkey});
  CHECK(compiled[1].sql.contains("UPDATE \"li\"\"kes\" SET x = $1::text, y = 'it''s :time' WHERE $$ :rev $$ = 1"));
  CHECK(compiled[1].parameters == std::vector{record});
  CHECK(must(compile_hook("", "t")).empty());
  CHECK(must(compile_hook(" ; -- x", "t")).empty());
  CHECK(must(compile_hook("SELECT 'unfinished", "t")).size() == 1);
  CHECK(must(compile_hook("SELECT :", "t")).size() == 1);
  const auto unknown = compile_hook("SELECT :who", "t");
  CHECK(unknown.error().code == errc::bad_config);
  CHECK(unknown.error().text.starts_with("there is no parameter :who; there are :did,"));
}

TEST_CASE("hooks run for each record with rows and for each key that lost them; their columns survive updates") {
  const directory d;
  auto s = must_open(d);
  other(d).run("CREATE TABLE log (line)");
  const plan p = hooked(
      "UPDATE {table} SET seen = seen + 1 WHERE did = :did AND rkey = :rkey; INSERT INTO log VALUES ('put ' || :uri || "
      "coalesce(:cid, '-') || coalesce(:rev, '-') || json_extract(:record, '$.x'))",
      "INSERT INTO log SELECT 'del ' || :rkey || (SELECT count(*) FROM {table})");
  const auto b = must(run(s->begin(p, at(0), 500, 0)));
  CHECK(b.bulk_until == 0);  // hooks see rows by their key: never in bulk
  const auto n = b.number;
  must(run(s->apply(p, n, {hooked_put("a", "1", "x"), del("a", "7"), hooked_put("a", "2", "y")}, at(0), at(1))));
  CHECK(must(run(s->ready(p, n, {"0"}, {"0"}))));
  CHECK(rows(d) == lines{"a 1 x 7 1 1", "a 2 y 7 1 1"});
  must(run(s->apply(p, n, {hooked_put("a", "1", "z"), rejected("a", "2", "no")}, at(1), at(2))));
  CHECK(rows(d) == lines{"a 1 z 7 1 2"});
  CHECK(other(d).ask("SELECT line FROM log") == lines{"put at://a/app.bsky.feed.like/1bafy-1",
                                                      "put at://a/app.bsky.feed.like/2bafy-1",
                                                      "put at://a/app.bsky.feed.like/1bafy-1", "del 21"});
}

TEST_CASE("what a hook refuses becomes a reject in the database's words, and the others pass") {
  const directory d;
  auto s = must_open(d);
  other(d).run("CREATE TABLE log (line CHECK (line <> 'bad')); CREATE TABLE kept (x UNIQUE)");
  const plan p = hooked(
      "INSERT INTO kept VALUES (:did || :rkey); INSERT INTO log SELECT subject FROM {table} WHERE did = :did AND rkey "
      "= :rkey",
      "DELETE FROM kept WHERE x = :did || :rkey");
  const auto n = must_live(*s, p);
  const auto done = must(run(s->apply(
      p, n, {hooked_put("a", "1", "x"), hooked_put("a", "2", "bad", 22), hooked_put("a", "3", "y")}, {}, at(1))));
  CHECK(done.rows == 2);
  CHECK(done.rejected == 1);
  CHECK(rows(d) == lines{"a 1 x 7 1 0", "a 3 y 7 1 0"});
  CHECK(rows(d, "likes_by_subject") == lines{"x 1", "y 1"});
  CHECK(rows(d, "likes_rejects") ==
        lines{"at://a/app.bsky.feed.like/2 on_put: CHECK constraint failed: line <> 'bad' 22"});
  CHECK(other(d).ask("SELECT x FROM kept") == lines{"a1", "a3"});
  // An update that is refused leaves no older row, and on_delete hears of it.
  must(run(s->apply(p, n, {hooked_put("a", "1", "z", 23)}, at(1), at(2))));
  CHECK(rows(d) == lines{"a 3 y 7 1 0"});
  CHECK(other(d).ask("SELECT x FROM kept") == lines{"a3"});
  CHECK(must(run(s->retry(p, {hooked_put("a", "1", "z", 23), hooked_put("a", "2", "bad", 22)}))) == 1);
  CHECK(rows(d) == lines{"a 1 z 7 1 0", "a 3 y 7 1 0"});
}

TEST_CASE("a delete is not to be refused: on_delete's error is told, the rows go") {
  const directory d;
  auto s = must_open(d);
  other(d).run("CREATE TABLE log (line CHECK (line <> '1'))");
  const plan p = hooked("INSERT INTO log VALUES (0)", "INSERT INTO log VALUES (:rkey)");
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n, {hooked_put("a", "1", "x"), hooked_put("a", "2", "x")}, {}, at(1))));
  const auto done = must(run(s->apply(p, n, {del("a", "1"), del("a", "2")}, at(1), at(2))));
  CHECK(done.erased == 2);
  CHECK(done.rejected == 1);
  CHECK(rows(d).empty());
  CHECK(rows(d, "likes_rejects") ==
        lines{"at://a/app.bsky.feed.like/1 on_delete: CHECK constraint failed: line <> '1' 0"});
}

TEST_CASE("a hook whose table has gone blames no record: nothing is changed until the table is back") {
  const directory d;
  auto s = must_open(d);
  other(d).run("CREATE TABLE log (line)");
  const plan p = hooked("INSERT INTO log VALUES (:rkey)", "INSERT INTO log VALUES (:rkey)");
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n, {hooked_put("a", "1", "x")}, {}, at(1))));
  const auto before = rows(d);
  other(d).run("DROP TABLE log");
  const std::vector<change> next{hooked_put("a", "1", "y"), hooked_put("a", "2", "z")};
  const auto refused = run(s->apply(p, n, next, at(1), at(2)));
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == errc::storage);
  CHECK(refused.error().text.find("no such table") != std::string::npos);
  CHECK(rows(d) == before);
  CHECK(rows(d, "likes_rejects").empty());
  other(d).run("CREATE TABLE log (line)");
  CHECK(must(run(s->apply(p, n, next, at(1), at(2)))).rows == 2);
}

TEST_CASE("a hook that refuses a record in words like those of a missing table still makes it a reject") {
  const directory d;
  auto s = must_open(d);
  const other shell(d);
  shell.run("CREATE TABLE log (line)");
  shell.run("CREATE TRIGGER no BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no such table: luck'); END");
  const plan p = hooked("INSERT INTO log VALUES (:rkey)");
  const auto n = must_live(*s, p);
  CHECK(must(run(s->apply(p, n, {hooked_put("a", "1", "x")}, {}, at(1)))).rejected == 1);
  CHECK(rows(d, "likes_rejects") == lines{"at://a/app.bsky.feed.like/1 on_put: no such table: luck 1"});
}

TEST_CASE("a hook that SQLite does not understand is told when the build begins, with file and key") {
  const directory d;
  auto s = must_open(d);
  for (const auto& [sql, why] :
       std::vector<std::pair<std::string, std::string>>{{"INSERT INTO nowhere VALUES (1)", "no such table: nowhere"},
                                                        {"SELEKT 1", "near \"SELEKT\": syntax error"},
                                                        {"COMMIT", "not authorized"},
                                                        {"PRAGMA synchronous=OFF", "not authorized"},
                                                        {"DELETE FROM recordkv_builds", "not authorized"},
                                                        {"SELECT :x", "there is no parameter :x"}}) {
    const auto refused = run(s->begin(hooked("SELECT 1", sql), at(0), 0, 0));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::bad_config);
    CHECK(refused.error().text.starts_with(fmt::format("likes.toml:{}: view.on_delete: {}", hooked({}).line, why)));
    CHECK_FALSE(must(run(s->look("likes"))).next.has_value());
  }
}
