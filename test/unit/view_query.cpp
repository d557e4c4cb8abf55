// Questions: what may be asked, how it is typed, and what is said when it can't be.
#include "view_fixture.hpp"

#include <fstream>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

TEST_CASE("readers see the last whole batch while the next one is written, and never wait") {
  const directory d;
  auto s = must_open(d, 100ms);
  const auto n = must_live(*s, likes());
  must(run(s->apply(likes(), n, {put("a", "1", "x")}, {}, at(1))));
  const other writer(d);
  writer.run("BEGIN IMMEDIATE; DELETE FROM likes; UPDATE recordkv_builds SET created = 'torn'");
  CHECK(rows(d) == lines{"a 1 x 7 1"});
  CHECK(rows(d, "likes_by_subject") == lines{"x 1"});
  CHECK(must(run(s->look("likes"))).live->at == at(1));  // although no process can have the write lock
  CHECK(must(run(s->rejects("likes", 1))).empty());
}

TEST_CASE("look-ups by column, in order, up to a limit") {
  const directory d;
  auto s = must_open(d);
  const auto n = must_live(*s, likes());
  change bare = put("c", "1", "y");
  bare.rows[0] = {cell(std::string("y")), cell(), cell(std::int64_t{0})};
  must(run(s->apply(likes(), n, {put("b", "1", "x"), put("a", "2", "x"), put("a", "1", "x"), bare}, {}, at(1))));
  CHECK(rows(d) == lines{"a 1 x 7 1", "a 2 x 7 1", "b 1 x 7 1", "c 1 y NULL 0"});
  CHECK(rows(d, "likes", {{"did", "a"}}).size() == 2);
  CHECK(rows(d, "likes", {{"did", "a"}, {"rkey", "2"}}) == lines{"a 2 x 7 1"});
  CHECK(rows(d, "likes", {{"n", "7"}}).size() == 3);
  CHECK(rows(d, "likes", {{"yes", "true"}}).size() == 3);
  CHECK(rows(d, "likes", {{"yes", "false"}}) == lines{"c 1 y NULL 0"});
  CHECK(rows(d, "likes", {{"subject", "x' OR '1'='1"}}).empty());
  CHECK(must(query(d.database(), "likes", {}, 2)).rows.size() == 2);
  CHECK(rows(d, "likes_by_subject") == lines{"x 3", "y 1"});
  CHECK(rows(d, "likes_by_subject", {{"subject", "y"}}) == lines{"y 1"});
  CHECK(rows(d, "likes_by_subject", {{"count", "3"}}) == lines{"x 3"});
}

TEST_CASE("an answer is typed as the view's definition says") {
  const directory d;
  auto s = must_open(d);
  const plan p = planned(R"(name = "all"
collection = "app.bsky.feed.like"
columns = [ { name = "t", pointer = "/t" }, { name = "i", pointer = "/i", type = "integer" },
  { name = "r", pointer = "/r", type = "real" }, { name = "b", pointer = "/b", type = "boolean" },
  { name = "w", pointer = "/w", type = "timestamp" }, { name = "j", pointer = "/j", type = "json" } ]
count = ["r", "b", "w"])");
  const auto n = must_live(*s, p);
  change c = put("a", "1", "");
  const cells values{cell(std::string("1.0")),
                     cell(std::int64_t{1}),
                     cell(3.0),
                     cell(std::int64_t{1}),
                     cell(std::string("2024-11-05T12:00:00.000000Z")),
                     cell(std::string("1.0"))};
  c.rows[0] = values;
  must(run(s->apply(p, n, {c}, {}, at(1))));
  const auto found = must(query(d.database(), "all", {}, 1));
  using enum column_type;
  std::vector<column_type> types;
  for (const auto& h : found.columns) types.push_back(h.type);
  CHECK(types == std::vector{text, text, text, text, integer, real, boolean, timestamp, json});
  REQUIRE(found.rows.size() == 1);
  CHECK(cells(found.rows[0].begin() + 3, found.rows[0].end()) == values);
  // A time in whatever zone and precision it is asked for, a number however it is written.
  CHECK(rows(d, "all", {{"w", "2024-11-05T13:00:00+01:00"}}).size() == 1);
  CHECK(rows(d, "all", {{"r", "3"}}).size() == 1);
  CHECK(rows(d, "all", {{"t", "1.0"}, {"j", "1.0"}}).size() == 1);
  CHECK(rows(d, "all", {{"t", "1"}}).empty());
  const auto real_count = must(query(d.database(), "all_by_r", {}, 9));
  CHECK(real_count.columns[0].type == real);
  CHECK(real_count.rows == std::vector<cells>{{cell(3.0), cell(std::int64_t{1})}});
  CHECK(must(query(d.database(), "all_by_b", {}, 9)).columns[0].type == boolean);
  const auto wrong = [&](std::string column, std::string value) {
    auto refused = query(d.database(), "all", {{std::move(column), std::move(value)}}, 1);
    CHECK(refused.error().code == errc::bad_config);
    return refused.error().text;
  };
  CHECK(wrong("i", "1.0") == "view all: column i wants an integer, not \"1.0\"");
  CHECK(wrong("r", "x") == "view all: column r wants a number, not \"x\"");
  CHECK(wrong("b", "1") == "view all: column b wants true or false, not \"1\"");
  CHECK(wrong("w", "yesterday") == "view all: column w wants a time such as 2024-11-05T12:00:00Z, not \"yesterday\"");
}

TEST_CASE("look-ups that ask for what is not there say what is") {
  const directory d;
  const auto missing = query(d.database(), "likes", {}, 1);
  CHECK(missing.error().code == errc::not_found);
  CHECK(missing.error().text ==
        fmt::format("there is no database {} yet, and no running index names another; run recordkv with stage index, "
                    "or set index.database",
                    d.file()));
  auto s = must_open(d);
  must_live(*s, likes());
  const auto view = query(d.database(), "lieks", {}, 1);
  CHECK(view.error().code == errc::not_found);
  CHECK(view.error().text == fmt::format("there is no view lieks in {}; there are: likes", d.file()));
  for (const auto* const other_table : {"recordkv_builds", "likes__next", "likes_by_n", "likes_by_"})
    CHECK(query(d.database(), other_table, {}, 1).error().code == errc::not_found);
  const auto column = query(d.database(), "likes", {{"subjekt", "x"}}, 1);
  CHECK(column.error().code == errc::bad_config);
  CHECK(column.error().text == "view likes has no column subjekt; it has: did, collection, rkey, subject, n, yes");
  CHECK(query(d.database(), "likes", {{"1=1 --", "x"}}, 1).error().code == errc::bad_config);
  std::ofstream(d.file("empty.db")).flush();
  CHECK(query(d.database("empty.db"), "likes", {}, 1).error().code == errc::not_found);
}

TEST_CASE("a database by its name; and none by any other") {
  for (const auto* const wrong : {"", "views.db", "sqlite:", "mysql://user:secret@host/db", "/var/lib/views.db"}) {
    const auto refused = store::open(loop(), wrong);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::bad_config);
    CHECK(refused.error().text.ends_with(
        "does not name a database; write sqlite:PATH, or postgresql://USER@HOST/DATABASE"));
    CHECK_FALSE(refused.error().text.contains("secret"));
    CHECK(query(wrong, "likes", {}, 1).error().code == errc::bad_config);
  }
  CHECK(without_password("sqlite:a@b:c") == "sqlite:a@b:c");
  CHECK(without_password("postgresql://u:secret@h:5432/d") == "postgresql://u@h:5432/d");
  CHECK(without_password("postgresql://u:s@e/c@h/d") == "postgresql://u@h/d");
  CHECK(without_password("postgresql://u:s?e@h/d") == "postgresql://u@h/d");
  CHECK(without_password("postgresql://h:5432/d?user=u&password=secret&x=1") ==
        "postgresql://h:5432/d?user=u&password=...&x=1");
  CHECK(without_password("postgresql://h:5432/d?mail=a@b") == "postgresql://h:5432/d?mail=a@b");
  CHECK(without_password("postgresql:///d?sslpassword=secret") == "postgresql:///d?sslpassword=...");
}

TEST_CASE("a database's name for another process: an absolute path, a URL without its password") {
  CHECK(name_for_others("sqlite:/var/lib/x.db") == "sqlite:/var/lib/x.db");
  CHECK(name_for_others("sqlite:a/./b.db") == "sqlite:" + (std::filesystem::current_path() / "a/b.db").string());
  CHECK(name_for_others("postgresql://u:secret@h/d") == "postgresql://u@h/d");
  CHECK(name_for_others("postgresql://u@h/d?password=secret") == "postgresql://u@h/d");
  CHECK(name_for_others("postgresql://u@h/d?password=s&sslmode=require&sslpassword=t") ==
        "postgresql://u@h/d?sslmode=require");
  CHECK(name_for_others("postgresql:///d?host=/run/postgresql") == "postgresql:///d?host=/run/postgresql");
}
