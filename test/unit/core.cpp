#include "recordkv/core/file_access.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "recordkv/core/backoff.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/rate_limited.hpp"
#include "recordkv/core/result.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using namespace std::chrono_literals;

TEST_CASE("notify wakes every waiting coroutine once, and is not remembered") {
  asio::io_context io;
  event e;
  int woken = 0;
  e.notify();  // without a waiter nothing is remembered
  auto waiter = [](event& ev, int& n) -> task<> {
    co_await ev.wait();
    ++n;
  };
  for (int i = 0; i < 3; ++i) asio::co_spawn(io, waiter(e, woken), asio::detached);
  io.poll();
  CHECK(woken == 0);
  e.notify();
  io.poll();
  CHECK(woken == 3);
}

TEST_CASE("a bounded wait tells a notification from a timeout") {
  asio::io_context io;
  event e;
  std::vector<bool> answers;
  auto waiter = [](event& ev, std::vector<bool>& out, std::chrono::milliseconds limit) -> task<> {
    out.push_back(co_await ev.wait_for(limit));
  };
  asio::co_spawn(io, waiter(e, answers, 1ms), asio::detached);
  io.run();
  asio::co_spawn(io, waiter(e, answers, 1h), asio::detached);
  io.restart();
  io.poll();
  e.notify();
  io.run();
  CHECK(answers == std::vector<bool>{false, true});
}

TEST_CASE("a waiter that is destroyed leaves the list") {
  event e;
  {
    asio::io_context io;
    auto waiter = [](event& ev) -> task<> { co_await ev.wait(); };
    asio::co_spawn(io, waiter(e), asio::detached);
    asio::co_spawn(io, waiter(e), asio::detached);
    io.poll();
  }
  e.notify();  // would touch freed memory
}

TEST_CASE("an event that is destroyed first leaves its waiters suspended") {
  asio::io_context io;
  {
    event e;
    auto waiter = [](event& ev) -> task<> { co_await ev.wait(); };
    asio::co_spawn(io, waiter(e), asio::detached);
    io.poll();
  }
}  // the loop destroys the coroutine now, and it must not touch the event

TEST_CASE("backoff doubles up to its cap and keeps its jitter in the upper half") {
  backoff b(100ms, 5s, 42);
  for (const int whole : {100, 200, 400, 800, 1600, 3200, 5000, 5000}) {
    const auto d = b.next();
    CHECK(d.count() >= whole / 2);
    CHECK(d.count() <= whole);
  }
  b.reset();
  CHECK(b.next() <= 100ms);
}

TEST_CASE("counters by name and reason") {
  meters m;
  m.add("kv_skipped", "older");
  m.add("kv_skipped", "older", 2);
  m.add("kv_skipped", "flawed");
  CHECK(m.value("kv_skipped", "older") == 3);
  CHECK(m.value("kv_skipped") == 0);
  CHECK(m.all().size() == 2);
}

TEST_CASE("log lines below the level are not written") {
  std::vector<std::string> lines;
  log::set_sink([&](log::level, std::string_view part, std::string_view text) {
    lines.push_back(fmt::format("{}: {}", part, text));
  });
  log::debug("kv", "hidden {}", 1);
  log::warn("kv", "shown {}", 2);
  log::set_sink({});
  CHECK(lines == std::vector<std::string>{"kv: shown 2"});
}

TEST_CASE("an error carries a code for the program and words for a person") {
  const result<int> r = fail(errc::not_found, "stream {} does not exist", "ingest");
  REQUIRE_FALSE(r);
  CHECK(r.error().code == errc::not_found);
  CHECK(r.error().text == "stream ingest does not exist");
  CHECK(name(r.error().code) == "not_found");
}

TEST_CASE("a rate-limited line is due at once, then once per interval, and tells how often") {
  rate_limited told(60s, 2);
  const rate_limited::clock::time_point t0{};
  CHECK(told.count("a", t0) == 1);
  for (int i = 0; i < 29; ++i) CHECK(told.count("a", t0 + 9s) == 0);
  CHECK(told.count("b", t0 + 9s) == 1);
  CHECK(told.overdue("a", t0 + 59s) == 0);
  CHECK(told.overdue("a", t0 + 60s) == 29);
  CHECK(told.overdue("a", t0 + 200s) == 0);
  CHECK(told.overdue("absent", t0 + 200s) == 0);
  CHECK(told.count("a", t0 + 201s) == 1);
}

TEST_CASE("keys of rate-limited lines are bounded: those beyond share one") {
  rate_limited told(60s, 2);
  const rate_limited::clock::time_point t0{};
  CHECK(told.count("a", t0) == 1);
  CHECK(told.count("b", t0) == 1);
  CHECK(told.count("c", t0) == 1);
  CHECK(told.count("d", t0) == 0);
  CHECK(told.count("c", t0 + 120s) == 1);  // the idle ones were forgotten
}

TEST_CASE("hosts are counted separately, up to a bound") {
  meters m;
  for (std::size_t i = 0; i < meters::max_hosts + 2; ++i) m.add_of_host("faults", fmt::format("h{}", i), "since");
  m.add_of_host("faults", "h0", "since");
  CHECK(m.of_hosts().at({"faults", "h0", "since"}) == 2);
  CHECK(m.of_hosts().at({"faults", "other", "since"}) == 2);
  CHECK(m.of_hosts().size() == meters::max_hosts + 1);
}

TEST_CASE("why a place can't be used names the part that stands in the way") {
  char made[] = "/tmp/recordkv-unit-XXXXXX";
  const std::filesystem::path dir = mkdtemp(made);
  CHECK(why_not_usable(dir, file_use::write).empty());
  CHECK(why_not_usable(dir / "not" / "there", file_use::write).empty());
  std::ofstream(dir / "file") << "x";
  CHECK(why_not_usable(dir / "file", file_use::read).empty());
  CHECK(why_not_usable(dir / "file" / "below", file_use::write) ==
        (dir / "file").string() + " is a file, not a directory");
  CHECK(why_not_usable("/proc/self/not-there", file_use::write) != "");
  CHECK(user_of_process().find(fmt::format("uid {}", geteuid())) != std::string::npos);
  std::filesystem::remove_all(dir);
}
