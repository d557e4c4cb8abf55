// Trouble: another writer, a lock, a full disk, a file that is none, a kill in the middle.
#include "sqlite/database.hpp"
#include "view_fixture.hpp"

#include <cerrno>
#include <fstream>
#include <latch>
#include <thread>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

position stands(store& s) { return must(run(s.look("likes"))).live->at; }

}  // namespace

TEST_CASE("another position than the one expected: conflict, and nothing is changed") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n, {put("a", "1", "x")}, {}, at(1))));
  position other_created = at(1);
  other_created.created = "2027-01-01T00:00:00Z";
  position other_generation = at(1);
  other_generation.generation = 2;
  position fewer_labels = at(1);
  fewer_labels.seq.erase("a");
  for (const auto& wrong : {position{}, at(2), other_created, other_generation, fewer_labels}) {
    const auto refused = run(s->apply(p, n, {put("a", "1", "y"), put("b", "1", "y")}, wrong, at(3)));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::conflict);
  }
  CHECK(run(s->apply(p, n + 1, {put("a", "1", "y")}, at(1), at(3))).error().code == errc::conflict);
  CHECK(rows(d) == lines{"a 1 x 7 1"});
  CHECK(stands(*s) == at(1));
  must(run(s->apply(p, n, {put("a", "1", "y")}, at(1), at(3))));
  CHECK(rows(d) == lines{"a 1 y 7 1"});
}

TEST_CASE("a batch that fails halfway leaves rows, counters and position as they were") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n, {put("a", "1", "x")}, {}, at(1))));
  const other shell(d);
  shell.run("CREATE TRIGGER full BEFORE INSERT ON likes WHEN new.did = 'm' BEGIN SELECT RAISE(ABORT, 'no room'); END");
  const auto refused = run(s->apply(
      p, n, {put("a", "1", "y"), rejected("b", "1", "z"), put("m", "1", "y"), put("z", "1", "y")}, at(1), at(2)));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == errc::storage);
  CHECK(refused.error().text.contains("cannot write a row: no room"));
  CHECK(rows(d) == lines{"a 1 x 7 1"});
  CHECK(rows(d, "likes_by_subject") == lines{"x 1"});
  CHECK(rows(d, "likes_rejects").empty());
  CHECK(stands(*s) == at(1));
  shell.run("DROP TRIGGER full");
  must(run(s->apply(p, n, {put("a", "1", "y"), put("m", "1", "y")}, at(1), at(2))));  // again, once it is possible
  CHECK(rows(d) == lines{"a 1 y 7 1", "m 1 y 7 1"});
}

TEST_CASE("two writers: the one that comes second is told, and may go on from where the first has left it") {
  const directory d;
  auto one = must_open(d);
  auto two = must_open(d);
  const plan p = likes();
  const auto n = must_live(*one, p);
  must(run(one->apply(p, n, {put("a", "1", "x")}, {}, at(1))));
  CHECK(run(two->apply(p, n, {put("a", "1", "old")}, {}, at(1))).error().code == errc::conflict);
  CHECK(stands(*two) == at(1));
  must(run(two->apply(p, n, {put("a", "2", "x")}, at(1), at(2))));
  CHECK(rows(d).size() == 2);
}

TEST_CASE("a full disk: an error, nothing changed, and the same call succeeds once there is room") {
  const directory d;
  auto s = must_open(d);
  const plan p = likes();
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n, {put("a", "1", "x")}, {}, at(1))));
  const auto b = must(run(s->begin(p, at(0), 100, 0)));
  std::vector<change> big;
  for (int i = 0; i < 200; ++i) big.push_back(put(fmt::format("b{}", i), "1", std::string(20'000, 'x')));
  const auto limit = [](rlim_t bytes) {
    // A file that may not grow is what the kernel offers instead of a disk of one's own.
    const rlimit l{.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &l) == 0);
  };
  limit(1 << 20);
  const auto live = run(s->apply(p, n, big, at(1), at(2)));
  const auto bulk = run(s->apply(p, b.number, big, at(0), at(2)));
  limit(RLIM_INFINITY);
  for (const auto* const refused : {&live, &bulk}) {
    REQUIRE_FALSE(refused->has_value());
    CHECK(refused->error().code == errc::storage);
    CHECK(refused->error().text.contains("nothing was changed"));
  }
  CHECK(rows(d) == lines{"a 1 x 7 1"});
  CHECK(stands(*s) == at(1));
  must(run(s->apply(p, n, big, at(1), at(2))));
  must(run(s->apply(p, b.number, big, at(0), at(2))));
  must(run(s->end_bulk(p, b.number)));
  CHECK(rows(d).size() == 201);
}

TEST_CASE("a reader that stays does not hold up the writer, nor a swap") {
  const directory d;
  auto s = must_open(d, 100ms);
  const plan p = likes();
  auto n = must_live(*s, p);
  must(run(s->apply(p, n, {put("a", "1", "old")}, {}, at(1))));
  const other reader(d);
  reader.run("BEGIN; SELECT * FROM likes");
  must(run(s->apply(p, n, {put("a", "2", "x")}, at(1), at(2))));
  n = must_live(*s, p);
  must(run(s->apply(p, n, {put("a", "1", "new")}, {}, at(1))));
  CHECK(reader.ask("SELECT subject FROM likes") == lines{"old"});
  reader.run("COMMIT");
  CHECK(reader.ask("SELECT subject FROM likes") == lines{"new"});
}

TEST_CASE("a database that another program keeps locked: a bounded wait, then an error") {
  const directory d;
  auto s = must_open(d, 50ms);
  const plan p = likes();
  const auto n = must_live(*s, p);
  const auto b = must(run(s->begin(p, at(0), 0, 0)));
  {
    const other shell(d);
    shell.run("BEGIN IMMEDIATE");
    const auto refused = run(s->apply(p, n, {put("a", "1", "x")}, {}, at(1)));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::locked);
    CHECK(refused.error().text ==
          fmt::format("database {}: cannot BEGIN: database is locked; another program keeps it locked: end that "
                      "program's transaction (an open sqlite3 shell?), or give this process a database of its own",
                      d.file()));
    CHECK(run(s->begin(p, at(0), 0, b.number)).error().code == errc::locked);
    CHECK(run(s->ready(p, b.number, {"0"}, {"0"})).error().code == errc::locked);
    CHECK(run(s->drop("likes")).error().code == errc::locked);
  }
  must(run(s->apply(p, n, {put("a", "1", "x")}, {}, at(1))));  // the same call succeeds once the lock is gone
  CHECK(must(run(s->ready(p, b.number, {"0"}, {"0"}))));
}

TEST_CASE("the code of an error does not depend on the names of directories") {
  for (const std::string_view name : {"full", "locked", "connect"}) {
    directory d;
    d.path /= name;
    std::filesystem::create_directories(d.path);
    {
      auto s = must_open(d, 50ms);
      const other shell(d);
      shell.run("BEGIN IMMEDIATE");
      CHECK(run(s->begin(likes(), at(0), 0, 0)).error().code == errc::locked);
      shell.run("ROLLBACK");
      shell.run("CREATE TABLE likes (x)");
      CHECK(run(s->begin(likes(), at(0), 0, 0)).error().code == errc::mismatch);
    }
    std::ofstream(d.file("other.db")) << std::string(5000, 'x');
    CHECK(store::open(loop(), d.database("other.db")).error().code == errc::storage);
    std::filesystem::remove_all(d.path.parent_path());
  }
}

TEST_CASE("SQLite's result codes as ours: locks, a full disk, and all that waiting does not mend") {
  for (const int code :
       {SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT, SQLITE_BUSY_RECOVERY, SQLITE_LOCKED, SQLITE_LOCKED_SHAREDCACHE})
    CHECK(code_of(code, 0) == errc::locked);
  CHECK(code_of(SQLITE_FULL, 0) == errc::no_space);
  for (const int code : {SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC, SQLITE_CANTOPEN}) {
    CHECK(code_of(code, ENOSPC) == errc::no_space);
    CHECK(code_of(code, EDQUOT) == errc::no_space);
    CHECK(code_of(code, EIO) == errc::storage);
  }
  for (const int code : {SQLITE_ERROR, SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_READONLY, SQLITE_CONSTRAINT_UNIQUE})
    CHECK(code_of(code, ENOSPC) == errc::storage);
}

TEST_CASE("a database with builds is opened while another program writes for long") {
  const directory d;
  must_live(*must_open(d), likes());
  const other shell(d);
  shell.run("BEGIN IMMEDIATE");
  const auto beside = store::open(loop(), d.database(), 10ms);
  REQUIRE(beside.has_value());
  CHECK(must(run((*beside)->look("likes"))).live);
}

// As processes do that share the views out by partitions, at their first start. SQLite's own patience does not cover
// it.
TEST_CASE("opening a new file while another program makes tables in it: a wait, not a refusal") {
  const directory d;
  std::filesystem::create_directories(d.path);
  const other shell(d);
  shell.run("PRAGMA journal_mode=DELETE");
  shell.run("BEGIN IMMEDIATE");
  shell.run("CREATE TABLE theirs(x)");
  std::latch begins(1);
  std::string refusal;
  std::jthread opener([&] {
    begins.count_down();
    if (auto s = store::open(loop(), d.database(), 60s); !s) refusal = s.error().text;
  });
  begins.wait();
  std::this_thread::sleep_for(200ms);  // for it to meet the lock; if it comes later, this proves nothing, and passes
  shell.run("COMMIT");
  opener.join();
  CHECK(refusal.empty());
}

TEST_CASE("a file that is no database, and one that can't be made") {
  const directory d;
  std::filesystem::create_directories(d.path);
  std::ofstream(d.file()) << std::string(5000, 'x');
  const auto refused = store::open(loop(), d.database());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == errc::storage);
  CHECK(refused.error().text.contains(d.file()));
  CHECK(refused.error().text.contains("file is not a database; move the file away"));
  const auto below = store::open(loop(), d.database() + "/below.db");
  REQUIRE_FALSE(below.has_value());
  CHECK(below.error().text.contains("unable to open database file"));
  CHECK(below.error().text.contains(d.file() + " is a file, not a directory"));
}

TEST_CASE("the caller is resumed on its own thread") {
  const directory d;
  asio::io_context io;
  auto s = must_open(d);
  bool finished = false;
  auto work = [](store& st, bool& done) -> task<> {
    const auto here = std::this_thread::get_id();
    auto seen = co_await st.look("likes");
    CHECK(seen.has_value());
    CHECK(std::this_thread::get_id() == here);
    auto missing = co_await st.want_rebuild("likes");
    CHECK(missing.error().code == errc::not_found);
    CHECK(std::this_thread::get_id() == here);
    done = true;
  };
  asio::co_spawn(io, work(*s, finished), [](std::exception_ptr e) {
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
    auto s = must_open(d);
    position start;
    asio::co_spawn(io, s->begin(p, std::move(start), 0, 0), [](std::exception_ptr, result<build>) {});
    io.poll();
  }
  CHECK(query(d.database(), "likes", {}, 1).has_value());
}

namespace {

/// For ever: batch k writes three rows and moves the position to k; after each seventh the view is rebuilt from what it
/// holds. No test macros here: the parent judges.
void write_for_ever(const directory& d) {
  const plan p = likes();
  auto s = store::open(loop(), d.database());
  if (!s) _exit(1);
  auto b = run((*s)->begin(p, at(0), 0, 0));
  if (!b || !run((*s)->ready(p, b->number, {"0"}, {"0"}))) _exit(1);
  auto number = b->number;
  std::vector<change> all;
  for (std::uint64_t k = 1;; ++k) {
    std::vector<change> batch;
    for (int i = 0; i < 3; ++i) batch.push_back(put(fmt::format("did:{}", k), fmt::to_string(i), "x"));
    all.insert(all.end(), batch.begin(), batch.end());
    if (!run((*s)->apply(p, number, std::move(batch), at(k - 1), at(k)))) _exit(1);
    if (k % 7 != 0) continue;
    auto next = run((*s)->begin(p, at(0), k, 0));
    if (!next || !run((*s)->apply(p, next->number, all, at(0), at(k)))) _exit(1);
    if (!run((*s)->end_bulk(p, next->number)) || !run((*s)->ready(p, next->number, {"0"}, {"0"}))) _exit(1);
    number = next->number;
  }
}

}  // namespace

TEST_CASE("after kill -9 at any moment rows, counters and position agree") {
  const directory d;
  for (std::uint64_t round = 0; round < 8; ++round) {
    std::filesystem::remove_all(d.path);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) write_for_ever(d);
    // In the middle of its work, which is a fact to be waited for: a loaded machine may not have begun after a second.
    const auto rows_there = [&] {
      const auto found = query(d.database(), "likes", {}, 10'000'000);
      return found ? found->rows.size() : 0;
    };
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (rows_there() < 6 + 20 * round && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    auto s = must_open(d);
    const auto seen = must(run(s->look("likes")));
    REQUIRE(seen.live.has_value());
    const auto reached = seen.live->at.seq.at("0");
    CHECK(reached > 0);
    CHECK(rows_there() == 3 * reached);
    CHECK(rows(d, "likes_by_subject") == lines{fmt::format("x {}", 3 * reached)});
    // And it goes on: a next build that was left behind is replaced.
    const auto b = must(run(s->begin(likes(), at(0), 0, seen.next ? seen.next->number : 0)));
    must(run(s->ready(likes(), b.number, {"0"}, {"0"})));
    CHECK(rows(d).empty());
  }
}
