#include "view_fixture.hpp"

#include <boost/asio/detached.hpp>

#include <fstream>
#include <thread>

#include <signal.h>
#include <sys/wait.h>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

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

TEST_CASE("a batch that fails halfway leaves rows and position as they were") {
  const directory d;
  auto s = must_open(d.file());
  const plan p = likes();
  REQUIRE(run(s->prepare(p)).has_value());
  must_apply(*s, {put("a", "1", "x")}, {}, at(1));
  other shell(d.file());
  shell.run("CREATE TRIGGER full BEFORE INSERT ON likes WHEN new.did = 'm' BEGIN SELECT RAISE(ABORT, 'no room'); END");
  const auto refused = run(s->apply(p, {put("a", "1", "y"), put("m", "1", "y"), put("z", "1", "y")}, at(1), at(2)));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == errc::storage);
  CHECK(refused.error().text.contains("cannot write a row: no room"));
  CHECK(rows(d.file()) == lines{"a/1 x"});
  CHECK(position_of(d.file()) == at(1));
  shell.run("DROP TRIGGER full");
  must_apply(*s, {put("a", "1", "y"), put("m", "1", "y")}, at(1), at(2));  // the same batch, once it is possible
  CHECK(rows(d.file()) == lines{"a/1 y", "m/1 y"});
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

TEST_CASE("the caller is resumed on its own thread") {
  const directory d;
  asio::io_context io;
  auto s = must_open(d.file());
  const plan p = likes();
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
    // In the middle of its work, which is a fact to be waited for: a loaded machine may not have begun after a second.
    const auto batches = [&] {
      const auto at = read_position(d.file(), "likes");
      return at && at->seq.contains("0") ? at->seq.at("0") : 0;
    };
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (batches() < 2 + 7 * static_cast<std::uint64_t>(round) && std::chrono::steady_clock::now() < until)
      std::this_thread::yield();
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
