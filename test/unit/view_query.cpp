#include "view_fixture.hpp"

#include <fstream>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

TEST_CASE("readers see the last whole batch while the next one is written, and never wait") {
  const directory d;
  auto s = must_open(d.file());
  REQUIRE(run(s->prepare(likes())).has_value());
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  other writer(d.file());
  writer.run("BEGIN IMMEDIATE; DELETE FROM likes; UPDATE recordkv_position SET created = 'torn'");
  const auto begin = std::chrono::steady_clock::now();
  CHECK(rows(d.file()) == lines{"a/1 x"});
  CHECK(position_of(d.file()) == at(1));
  CHECK(std::chrono::steady_clock::now() - begin < 2s);
}

TEST_CASE("look-ups by column, in order, up to a limit") {
  const directory d;
  auto s = must_open(d.file());
  REQUIRE(run(s->prepare(likes())).has_value());
  change bare = put("c", "1", "y");
  bare.json = R"({"subject":{"uri":"y"},"yes":false})";
  must_apply(*s, {put("b", "1", "x"), put("a", "2", "x"), put("a", "1", "x"), bare}, {}, at(1));
  CHECK(rows(d.file()) == lines{"a/1 x", "a/2 x", "b/1 x", "c/1 y"});
  CHECK(rows(d.file(), {{"did", "a"}}) == lines{"a/1 x", "a/2 x"});
  CHECK(rows(d.file(), {{"did", "a"}, {"rkey", "2"}}) == lines{"a/2 x"});
  CHECK(rows(d.file(), {{"n", "7"}}).size() == 3);
  CHECK(rows(d.file(), {{"yes", "true"}}).size() == 3);
  CHECK(rows(d.file(), {{"yes", "false"}}) == lines{"c/1 y"});
  CHECK(rows(d.file(), {{"subject", "x' OR '1'='1"}}).empty());
  const auto limited = query(d.file(), "likes", {}, 2);
  REQUIRE(limited.has_value());
  CHECK(limited->size() == 2);
  const auto whole = query(d.file(), "likes", {{"did", "a"}, {"rkey", "1"}}, 1);
  REQUIRE(whole.has_value());
  CHECK(whole->front() == row{{"did", "a"},
                              {"collection", "app.bsky.feed.like"},
                              {"rkey", "1"},
                              {"subject", "x"},
                              {"n", "7"},
                              {"yes", "1"}});
  const auto sparse = query(d.file(), "likes", {{"did", "c"}}, 1);
  REQUIRE(sparse.has_value());
  CHECK(sparse->front().size() == 5);  // n is NULL and left out
}

TEST_CASE("look-ups that ask for what is not there say what is") {
  const directory d;
  const auto missing = query(d.file(), "likes", {}, 1);
  CHECK(missing.error().code == errc::not_found);
  CHECK(missing.error().text ==
        fmt::format("there is no database {} yet; run recordkv with stage index first", d.file()));
  auto s = must_open(d.file());
  REQUIRE(run(s->prepare(likes())).has_value());
  const auto view = query(d.file(), "lieks", {}, 1);
  CHECK(view.error().code == errc::not_found);
  CHECK(view.error().text == fmt::format("there is no view lieks in {}; there are: likes", d.file()));
  CHECK(query(d.file(), "recordkv_position", {}, 1).error().code == errc::not_found);
  const auto column = query(d.file(), "likes", {{"subjekt", "x"}}, 1);
  CHECK(column.error().code == errc::bad_config);
  CHECK(column.error().text == "view likes has no column subjekt; it has: did, collection, rkey, subject, n, yes");
  CHECK(query(d.file(), "likes", {{"1=1 --", "x"}}, 1).error().code == errc::bad_config);
  CHECK(read_position(d.file(), "x").error().code == errc::not_found);
  std::ofstream(d.file("empty.db")).put('\n').flush();
  CHECK_FALSE(query(d.file("empty.db"), "likes", {}, 1).has_value());
}
