#include "recordkv/view/store.hpp"

#include <sqlite3.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>
#include <thread>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace recordkv;
using namespace recordkv::view;
using namespace std::chrono_literals;

namespace {

struct directory {
  directory() : path(std::filesystem::temp_directory_path() / fmt::format("recordkv-store-{}-{}", getpid(), ++count)) {
    std::filesystem::remove_all(path);
  }
  ~directory() { std::filesystem::remove_all(path); }
  std::string file(std::string_view name = "views.db") const { return (path / name).string(); }
  std::filesystem::path path;
  static inline int count = 0;
};

/// Runs one task to its end and hands out what it returned.
template <class T>
T run(task<T> t) {
  asio::io_context io;
  std::optional<T> out;
  asio::co_spawn(io, std::move(t), [&](std::exception_ptr e, T r) {
    if (e) std::rethrow_exception(e);
    out = std::move(r);
  });
  io.run();
  return std::move(*out);
}

plan likes() {
  return {.name = "likes",
          .collection = "app.bsky.feed.like",
          .columns = {{.name = "subject", .pointer = "/subject/uri", .required = true, .index = true},
                      {.name = "n", .pointer = "/n", .type = column_type::integer},
                      {.name = "yes", .pointer = "/yes", .type = column_type::boolean}},
          .file = "likes.toml"};
}

change put(std::string did, std::string rkey, std::string_view subject) {
  return {.did = std::move(did),
          .collection = "app.bsky.feed.like",
          .rkey = std::move(rkey),
          .json = fmt::format(R"({{"subject":{{"uri":"{}"}},"n":7,"yes":true}})", subject)};
}

change del(std::string did, std::string rkey) {
  return {
      .erase = true, .did = std::move(did), .collection = "app.bsky.feed.like", .rkey = std::move(rkey), .json = {}};
}

position at(std::uint64_t seq) { return {"2026-01-01T00:00:00Z", 1, {{"0", seq}, {"a", seq + 1}}}; }

std::unique_ptr<store> must_open(const std::string& path, std::chrono::milliseconds patience = 5s) {
  auto s = store::open(path, patience);
  if (!s) FAIL(s.error().text);
  return std::move(*s);
}

/// "did/rkey subject" for each row.
std::vector<std::string> rows(const std::string& path, const std::vector<condition>& where = {}) {
  auto found = query(path, "likes", where, 1000);
  if (!found) FAIL(found.error().text);
  std::vector<std::string> out;
  for (const auto& r : *found) out.push_back(fmt::format("{}/{} {}", r[0].second, r[2].second, r[3].second));
  return out;
}

store::applied must_apply(store& s, std::vector<change> changes, position from, position to) {
  auto done = run(s.apply(likes(), std::move(changes), std::move(from), std::move(to)));
  if (!done) FAIL(done.error().text);
  return *done;
}

position position_of(const std::string& path) {
  auto p = read_position(path, "likes");
  if (!p) FAIL(p.error().text);
  return *p;
}

using lines = std::vector<std::string>;

/// Another program's hand on the file.
struct other {
  explicit other(const std::string& path) { REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK); }
  ~other() { sqlite3_close(db); }
  void run(const char* sql) { REQUIRE(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK); }
  sqlite3* db = nullptr;
};

}  // namespace

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

TEST_CASE("another position than the one expected: conflict, and nothing is changed") {
  const directory d;
  auto s = must_open(d.file());
  const plan p = likes();
  REQUIRE(run(s->prepare(p)).has_value());
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  position other_created = at(1);
  other_created.created = "2027-01-01T00:00:00Z";
  position other_generation = at(1);
  other_generation.generation = 2;
  position fewer_labels = at(1);
  fewer_labels.seq.erase("a");
  for (const auto& wrong : {position{}, at(2), other_created, other_generation, fewer_labels}) {
    const auto refused = run(s->apply(p, {put("a", "1", "y"), put("b", "1", "y")}, wrong, at(3)));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::conflict);
  }
  CHECK(rows(d.file()) == lines{"a/1 x"});
  CHECK(position_of(d.file()) == at(1));
  must_apply(*s, {put("a", "1", "y")}, at(1), at(3));
  CHECK(rows(d.file()) == lines{"a/1 y"});
}

TEST_CASE("two writers: the one that comes second is told, and may go on from where the first has left it") {
  const directory d;
  auto one = must_open(d.file());
  auto two = must_open(d.file());
  const plan p = likes();
  REQUIRE(run(one->prepare(p)).has_value());
  REQUIRE(run(two->prepare(p)).has_value());
  must_apply(*one, {put("a", "1", "x")}, {}, at(1));
  CHECK(run(two->apply(p, {put("a", "1", "old")}, {}, at(1))).error().code == errc::conflict);
  const auto opened = run(two->prepare(p));
  REQUIRE(opened.has_value());
  CHECK(opened->at == at(1));
  must_apply(*two, {put("a", "2", "x")}, at(1), at(2));
  CHECK(rows(d.file()).size() == 2);
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

TEST_CASE("a table that somebody dropped is rebuilt from the store") {
  const directory d;
  auto s = must_open(d.file());
  REQUIRE(run(s->prepare(likes())).has_value());
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  other(d.file()).run("DROP TABLE likes");
  const auto opened = run(s->prepare(likes()));
  REQUIRE(opened.has_value());
  CHECK(opened->rebuilt);
  CHECK(opened->at == position{});
}

TEST_CASE("a table of somebody else's is left alone") {
  const directory d;
  auto s = must_open(d.file());
  other(d.file()).run("CREATE TABLE likes (mine)");
  const auto refused = run(s->prepare(likes()));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == errc::mismatch);
  CHECK(refused.error().text ==
        "table likes exists and is no view of recordkv's; rename view likes in likes.toml, or drop the table");
}

TEST_CASE("clear forgets rows and position") {
  const directory d;
  auto s = must_open(d.file());
  const plan p = likes();
  REQUIRE(run(s->prepare(p)).has_value());
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  REQUIRE(run(s->clear(p)).has_value());
  CHECK(rows(d.file()).empty());
  CHECK(position_of(d.file()) == position{});
  must_apply(*s, {put("a", "2", "x")}, {}, at(1));
  CHECK(rows(d.file()) == lines{"a/2 x"});
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

TEST_CASE("a reader that stays does not hold up the writer") {
  const directory d;
  auto s = must_open(d.file(), 100ms);
  REQUIRE(run(s->prepare(likes())).has_value());
  other reader(d.file());
  reader.run("BEGIN; SELECT * FROM likes");
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  CHECK(rows(d.file()).size() == 1);
}

TEST_CASE("a database that another program keeps locked: a bounded wait, then words") {
  const directory d;
  auto s = must_open(d.file(), 50ms);
  const plan p = likes();
  REQUIRE(run(s->prepare(p)).has_value());
  {
    other shell(d.file());
    shell.run("BEGIN IMMEDIATE");
    const auto refused = run(s->apply(p, {put("a", "1", "x")}, {}, at(1)));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::storage);
    CHECK(refused.error().text ==
          fmt::format("database {}: cannot BEGIN: database is locked; another program keeps it locked: end that "
                      "program's transaction (an open sqlite3 shell?), or give this process a database of its own",
                      d.file()));
    CHECK(run(s->prepare(p)).error().code == errc::storage);
  }
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));  // the same call succeeds once the lock is gone
}

TEST_CASE("a file that is no database, and one that can't be made") {
  const directory d;
  std::filesystem::create_directories(d.path);
  std::ofstream(d.file()) << std::string(5000, 'x');
  const auto refused = store::open(d.file());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == errc::storage);
  CHECK(refused.error().text.contains(d.file()));
  CHECK(refused.error().text.contains("file is not a database; move the file away"));
  const auto below = store::open(d.file() + "/below.db");
  REQUIRE_FALSE(below.has_value());
  CHECK(below.error().text.contains("unable to open database file; check that the directory exists"));
}

TEST_CASE("the caller is resumed on its own thread, and the loop goes on meanwhile") {
  const directory d;
  auto s = must_open(d.file());
  const plan p = likes();
  asio::io_context io;
  bool finished = false;
  auto work = [](store& st, const plan& pl, bool& done) -> task<> {
    const auto here = std::this_thread::get_id();
    auto opened = co_await st.prepare(pl);
    CHECK(opened.has_value());
    CHECK(std::this_thread::get_id() == here);
    std::vector<change> none;
    position from;
    position to = at(1);
    auto applied = co_await st.apply(pl, std::move(none), std::move(from), std::move(to));
    CHECK(applied.has_value());
    CHECK(std::this_thread::get_id() == here);
    done = true;
  };
  asio::co_spawn(io, work(*s, p, finished), [](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
  });
  io.run();
  CHECK(finished);
}

TEST_CASE("a store that goes while a call is on its way finishes the call") {
  const directory d;
  const plan p = likes();
  asio::io_context io;
  {
    auto s = must_open(d.file());
    asio::co_spawn(io, s->prepare(p), [](std::exception_ptr, result<store::opened>) {});
    io.poll();
  }
  CHECK(query(d.file(), "likes", {}, 1).has_value());
}

TEST_CASE("after kill -9 at any moment rows and position agree") {
  const directory d;
  const plan p = likes();
  for (int round = 0; round < 5; ++round) {
    std::filesystem::remove_all(d.path);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      // Batch k writes three rows and moves the position to k, for ever. No test macros here: the parent judges.
      auto s = store::open(d.file());
      if (!s || !run((*s)->prepare(p))) _exit(1);
      position from;
      for (std::uint64_t k = 1;; ++k) {
        std::vector<change> batch;
        for (int i = 0; i < 3; ++i) batch.push_back(put(fmt::format("did:{}", k), fmt::to_string(i), "x"));
        if (!run((*s)->apply(p, std::move(batch), from, at(k)))) _exit(1);
        from = at(k);
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(120 + 37 * round));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    auto s = must_open(d.file());
    const auto opened = run(s->prepare(p));
    REQUIRE(opened.has_value());
    const auto reached = opened->at == position{} ? 0 : opened->at.seq.at("0");
    const auto found = query(d.file(), "likes", {}, 10'000'000);
    REQUIRE(found.has_value());
    CHECK(found->size() == 3 * reached);
    CHECK(reached > 0);
  }
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
