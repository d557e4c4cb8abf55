// A write-ahead log that cannot begin anew because of a reader, and which reader that is.
#include "sqlite/lock_holders.hpp"
#include "sqlite/wal_checkpoints.hpp"
#include "sqlite/wal_watch.hpp"
#include "view_fixture.hpp"

#include <fstream>
#include <functional>
#include <thread>

#include <unistd.h>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

std::uintmax_t wal_bytes(const directory& d) { return std::filesystem::file_size(d.file() + "-wal"); }

/// More than the log may hold, in transactions as a view has them.
void write_much(database& db) {
  const std::string wide(50'000, 'x');
  for (int batch = 0; batch < 22; ++batch) {
    auto t = must(transaction::begin(db));
    auto s = must(db.prepare("INSERT INTO wide VALUES ($1)"));
    for (int i = 0; i < 100; ++i) {
      s.bind(1, wide);
      REQUIRE(s.step() == SQLITE_DONE);
    }
    must(t.commit());
  }
}

database opened(const directory& d) {
  std::filesystem::create_directories(d.path);
  auto db = must(database::open(d.file(), database::access::read_write, 5s));
  must(
      db.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=16000; CREATE TABLE IF NOT "
             "EXISTS wide (x)"));
  return db;
}

}  // namespace

TEST_CASE("a reader that stays is named with the log's size, and the log goes with it") {
  const directory d;
  auto db = opened(d);
  wal_watch watch;
  const wal_watch::clock::time_point begun{};
  write_much(db);
  CHECK(must(watch.look(db, begun)).warning.empty());  // a bulk load alone: checkpoints keep the log small
  {
    const other reader(d);
    reader.run("BEGIN; SELECT * FROM wide LIMIT 1");
    write_much(db);
    CHECK(must(watch.look(db, begun)).warning.empty());  // it may be over in a moment
    const auto held = must(watch.look(db, begun + wal_watch::told_after));
    CHECK(*held.wal_bytes > wal_watch::max_bytes);
    CHECK(held.warning.contains(d.file() + "-wal has grown to 1"));
    CHECK(held.warning.contains(fmt::format("process {} (", getpid())));
    CHECK(held.warning.contains("keeps a transaction open"));
    reader.run("COMMIT");
  }
  const auto free = must(watch.look(db, begun + 2 * wal_watch::told_after));
  CHECK(free.warning.empty());
  CHECK(*free.wal_bytes == 0);
  CHECK(wal_bytes(d) == 0);
}

TEST_CASE("a writer beside us is no reader that stays, and is not waited for") {
  const directory d;
  auto db = opened(d);
  wal_watch watch;
  write_much(db);
  const other writer(d);
  writer.run("BEGIN IMMEDIATE");
  const wal_watch::clock::time_point begun{};
  CHECK(must(watch.look(db, begun)).warning.empty());
  CHECK(must(watch.look(db, begun + 60s)).warning.empty());
  writer.run("ROLLBACK");
}

TEST_CASE("/proc/locks: the processes that hold these bytes of this file, and no others") {
  constexpr std::string_view text =
      "1: POSIX  ADVISORY  READ 4711 fd:10:1234 124 124\n"
      "2: POSIX  ADVISORY  READ 4712 fd:10:1234 128 128\n"   // a connection without a transaction
      "3: POSIX  ADVISORY  WRITE 4713 fd:10:1234 120 120\n"  // a writer
      "4: FLOCK  ADVISORY  WRITE 4714 fd:10:1234 0 EOF\n"
      "5: POSIX  ADVISORY  READ 4715 fd:10:9999 124 124\n"      // another file
      "6: POSIX  ADVISORY  READ 4716 08:01:1234 124 124\n"      // of another device
      "7: -> POSIX  ADVISORY  WRITE 4717 fd:10:1234 124 124\n"  // waits
      "8: POSIX  ADVISORY  READ 0 fd:10:1234 127 127\n"
      "9: nonsense\n\n";
  CHECK(lock_holders(text, {0xfd, 0x10, 1234, 123, 127}) == std::set<int>{0, 4711});
  CHECK(lock_holders(text, {0, 0x2a, 1234, 123, 127}) == std::set<int>{0, 4711, 4716});  // stat() told another device
  CHECK(lock_holders(text, {0xfd, 0x10, 1, 123, 127}).empty());
  CHECK(lock_holders("", {0xfd, 0x10, 1234, 123, 127}).empty());
  CHECK(process_in_words(0) == "a process outside this container");
}

namespace {

/// Pages of the database's file, which only a checkpoint makes larger.
std::uintmax_t pages_written(const directory& d) { return std::filesystem::file_size(d.file()) / 4096; }

void write_pages(database& db, int count) {
  const std::string wide(4'000, 'x');
  auto s = must(db.prepare("INSERT INTO wide VALUES ($1)"));
  for (int i = 0; i < count; ++i) {
    s.bind(1, wide);
    REQUIRE(s.step() == SQLITE_DONE);
  }
}

/// Waits for a fact, in a test that has no loop.
void wait_until(const std::function<bool()>& fact) {
  for (int i = 0; i < 10'000 && !fact(); ++i) std::this_thread::sleep_for(1ms);
  REQUIRE(fact());
}

}  // namespace

TEST_CASE("the log is written beside the writer, before a commit has to do it") {
  const directory d;
  wal_checkpoints checkpoints(d.file(), {.beside = 50, .again = 20, .within = 1'000'000});
  auto db = opened(d);
  checkpoints.attach(db);
  write_pages(db, 30);
  const auto before = pages_written(d);
  write_pages(db, 40);
  wait_until([&] { return pages_written(d) > before; });
  // Once more after each 20 pages, as often as the other connection has time.
  const auto first = pages_written(d);
  wait_until([&] {
    write_pages(db, 1);
    return pages_written(d) > first + 20;
  });
}

TEST_CASE("a commit writes the rest of the log, which then begins anew") {
  const directory d;
  wal_checkpoints checkpoints(d.file(), {.beside = 1'000'000, .within = 50});
  auto db = opened(d);
  checkpoints.attach(db);
  write_pages(db, 200);
  CHECK(pages_written(d) > 100);
  CHECK(wal_bytes(d) < 80 * 4'200);
}

TEST_CASE("a reader that holds the log neither stops the writer nor loses a row") {
  const directory d;
  wal_checkpoints checkpoints(d.file(), {.beside = 20, .again = 5, .within = 40});
  auto db = opened(d);
  checkpoints.attach(db);
  const other reader(d);
  reader.run("BEGIN; SELECT count(*) FROM wide");
  write_pages(db, 300);
  reader.run("COMMIT");
  write_pages(db, 1);
  wait_until([&] {
    write_pages(db, 1);
    return pages_written(d) > 300;
  });
  const auto rows = std::stoi(reader.ask("SELECT count(*) FROM wide")[0]);
  CHECK(rows >= 302);
  CHECK(reader.ask("PRAGMA integrity_check") == lines{"ok"});
}
