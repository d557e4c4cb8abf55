// http/server.hpp with clients that are slow, silent, oversized, malformed, many: each is bounded in time and memory.
#include "http_rig.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <deque>

using namespace recordkv;
using namespace recordkv::test;

namespace {

using clock_type = std::chrono::steady_clock;

// Descriptors for tests that hold many sockets, or none; as it was at the end.
struct descriptors {
  explicit descriptors(rlim_t at_least) { set(std::max(was.rlim_cur, std::min(at_least, was.rlim_max))); }
  ~descriptors() { set(was.rlim_cur); }
  descriptors(const descriptors&) = delete;
  descriptors& operator=(const descriptors&) = delete;
  void set(rlim_t n) const {
    rlimit now = was;
    now.rlim_cur = n;
    setrlimit(RLIMIT_NOFILE, &now);
  }
  void none_left() const {
    const int lowest_free = dup(0);
    close(lowest_free);
    set(static_cast<rlim_t>(lowest_free));
  }
  rlimit was = [] {
    rlimit out{};
    getrlimit(RLIMIT_NOFILE, &out);
    return out;
  }();
};

constexpr auto half = "GET /hello HTTP/1.1\r\nHost: ";

}  // namespace

TEST_CASE("HTTP: what is not HTTP is refused") {
  http_rig rig;
  std::uint64_t n = 0;
  for (const std::string wrong :
       {"\r\n\r\n", "GET\r\n\r\n", "GET /hello\r\n\r\n", "GET /hello HTTP/9.9\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /hello HTTP/1.1\r\n\r\n", "GET hello HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHo st: a\r\n\r\n", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"}) {
    INFO(wrong);
    http_client c(rig.io, rig.server.port());
    CHECK(rig.ask(c, wrong).status == 400);
    CHECK(rig.closes(c));
    CHECK(rig.refused("malformed") == ++n);
  }
}

TEST_CASE("HTTP: a header or a body over its limit is refused before it is held") {
  http_rig rig({.header_bytes = 1000, .body_bytes = 2000});
  const std::string field = "X: " + std::string(95, 'x') + "\r\n";
  std::string many;
  for (int i = 0; i < 100; ++i) many += field;
  CHECK(rig.ask(get("/hello", many)).status == 431);
  CHECK(rig.ask(get("/" + std::string(500'000, 'x'))).status == 431);
  http_client piecemeal(rig.io, rig.server.port());  // no line is too long, no piece is
  piecemeal.send_now("GET /hello HTTP/1.1\r\n" + many.substr(0, 9 * field.size()));
  REQUIRE(rig.stand(1));
  rig.io.restart();
  rig.io.poll();
  CHECK(rig.refused("header_too_large") == 2);
  CHECK(rig.ask(piecemeal, field).status == 431);
  CHECK(rig.refused("header_too_large") == 3);
  CHECK(rig.ask(get("/hello", field + field)).status == 200);

  CHECK(rig.ask(post("/echo", std::string(2000, 'x'))).status == 202);
  CHECK(rig.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000\r\n\r\n").status == 413);
  CHECK(rig.ask(post("/echo", std::string(1'000'000, 'x'))).status == 413);  // also a client that is still sending
  const std::string chunk = "3e8\r\n" + std::string(1000, 'x') + "\r\n";
  CHECK(
      rig.ask("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + chunk).status ==
      413);
  CHECK(rig.refused("body_too_large") == 3);
  CHECK(rig.ask("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(9000, 'x'))
            .status == 400);
}

TEST_CASE("HTTP: a body without end is not read without end") {
  http_rig rig({.body_bytes = 1000, .request_time = 20s});
  http_client c(rig.io, rig.server.port());
  std::size_t sent = 0;
  REQUIRE(
      finish(rig.io, c.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n")).value_or(false));
  while (sent < 500 && finish(rig.io, c.send(std::string(1'000'000, 'x'))).value_or(false)) ++sent;
  CHECK(sent < 100);  // what the kernel's buffers take
  CHECK(rig.stand(0));
}

TEST_CASE("HTTP: a slow client is told so, and goes") {
  http_rig rig({.request_time = 200ms});
  for (const std::string start :
       {"G", "GET /hello HTTP/1.1\r\nX: ", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 60000\r\n\r\n"}) {
    INFO(start);
    const auto before = rig.refused("slow");
    http_client c(rig.io, rig.server.port());
    REQUIRE(finish(rig.io, c.send(start)).value_or(false));
    bool gone = false;
    asio::co_spawn(rig.io, c.drip(std::string(50'000, 'x'), 5ms), [&](std::exception_ptr, bool) { gone = true; });
    auto got = finish(rig.io, c.answer()).value_or(http_answer{});
    if (got.status == 100) got = finish(rig.io, c.answer()).value_or(http_answer{});
    CHECK(got.status == 408);
    CHECK(comes_true(rig.io, [&] { return gone; }));
    CHECK(rig.refused("slow") == before + 1);
    CHECK(rig.stand(0));
  }
}

TEST_CASE("HTTP: a silent client goes, before its first request and after it") {
  http_rig rig({.request_time = 60s, .idle_time = 50ms});
  http_client silent(rig.io, rig.server.port());
  CHECK(rig.closes(silent));
  CHECK(rig.counters.value("http_closed", "idle") == 1);
  http_client served(rig.io, rig.server.port());
  CHECK(rig.ask(served, get("/hello")).status == 200);
  CHECK(rig.closes(served));
  CHECK(rig.counters.value("http_closed", "idle") == 2);
  CHECK(rig.stand(0));
}

TEST_CASE("HTTP: a client that never reads its answer goes") {
  http_rig rig({.answer_time = 200ms});
  http_client c(rig.io, rig.server.port());
  REQUIRE(finish(rig.io, c.send(get("/large") + get("/large"))).value_or(false));
  CHECK(rig.counts("http_refused", "unread"));
  CHECK(rig.stand(0));
  CHECK(rig.counters.value("http_requests", "2xx") == 1);
}

TEST_CASE("HTTP: a route that does not come to an end costs its client, and nothing else") {
  http_rig rig({.answer_time = 50ms});
  http_client c(rig.io, rig.server.port());
  REQUIRE(finish(rig.io, c.send(get("/stuck"))).value_or(false));
  CHECK(rig.closes(c));
  CHECK(rig.refused("late") == 1);
  CHECK(rig.ask(get("/hello")).status == 200);
}

TEST_CASE("HTTP: a thousand idle clients make room for an honest one") {
  const descriptors enough(4096);
  http_rig rig({.connections = 32, .request_time = 60s, .idle_time = 60s});
  std::deque<http_client> crowd;
  std::size_t most = 0;
  for (int i = 0; i < 1000; ++i) {
    crowd.emplace_back(rig.io, rig.server.port());
    rig.io.restart();
    rig.io.poll();
    most = std::max(most, rig.server.connections());
  }
  CHECK(rig.counts("http_accepted", "", 1000));
  CHECK(most == 32);
  CHECK(rig.ask(get("/hello")).status == 200);
  CHECK(rig.counters.value("http_closed", "made_room") == 1001 - 32);
  CHECK(rig.refused("too_many") == 0);
}

TEST_CASE("HTTP: who stands behind a crowd does not wait a turn of the loop for each of it") {
  http_rig rig;
  std::deque<http_client> crowd;
  for (int i = 0; i < 16; ++i) crowd.emplace_back(rig.io, rig.server.port());
  CHECK(rig.counts("http_accepted", ""));
  CHECK(rig.counters.value("http_accepted") == 16);
}

TEST_CASE("HTTP: the longest idle makes room, none that is at work") {
  http_rig rig({.connections = 3, .request_time = 60s, .idle_time = 60s});
  http_client busy(rig.io, rig.server.port());
  REQUIRE(finish(rig.io, busy.send(half)).value_or(false));
  REQUIRE(rig.stand(1));
  http_client first(rig.io, rig.server.port());
  REQUIRE(rig.ask(first, get("/hello")).status == 200);
  http_client second(rig.io, rig.server.port());
  REQUIRE(rig.ask(second, get("/hello")).status == 200);
  REQUIRE(rig.ask(first, get("/hello")).status == 200);
  http_client newcomer(rig.io, rig.server.port());
  CHECK(rig.ask(newcomer, get("/hello")).status == 200);
  CHECK(rig.closes(second));
  CHECK(rig.ask(first, get("/hello")).status == 200);
  CHECK(rig.ask(newcomer, get("/hello")).status == 200);
  CHECK(rig.ask(busy, "a\r\n\r\n").status == 200);
  CHECK(rig.counters.value("http_closed", "made_room") == 1);
}

TEST_CASE("HTTP: a request that has just arrived is not closed to make room") {
  http_rig rig({.connections = 1, .request_time = 60s, .idle_time = 60s});
  http_client first(rig.io, rig.server.port());
  REQUIRE(rig.ask(first, get("/hello")).status == 200);
  http_client second(rig.io, rig.server.port());  // the loop learns of it and of the other's request at once
  first.send_now(get("/stuck"));
  CHECK(finish(rig.io, second.answer()).value_or(http_answer{}).status == 503);
  CHECK(comes_true(rig.io, [&] { return rig.waiting == 1; }));
  rig.release.notify();
  CHECK(finish(rig.io, first.answer()).value_or(http_answer{}).body == "at last\n");
}

TEST_CASE("HTTP: when all are at work a newcomer is told so, and its place is free later") {
  http_rig rig({.connections = 4, .request_time = 200ms});
  std::deque<http_client> slow;
  for (int i = 0; i < 4; ++i)
    REQUIRE(finish(rig.io, slow.emplace_back(rig.io, rig.server.port()).send(half)).value_or(false));
  REQUIRE(rig.stand(4));
  for (int i = 0; i < 20; ++i) {
    http_client newcomer(rig.io, rig.server.port());
    const auto got = finish(rig.io, newcomer.answer()).value_or(http_answer{});
    REQUIRE((got.status == 503 || i > 0));  // the four may have been given up by now
    if (got.status != 503) break;
    CHECK(got.head.find("Retry-After: ") != std::string::npos);
    CHECK(rig.closes(newcomer));
  }
  CHECK(rig.refused("too_many") >= 1);
  CHECK(rig.counts("http_refused", "slow", 4));
  CHECK(rig.ask(get("/hello")).status == 200);
}

TEST_CASE("HTTP: without descriptors accepting pauses, says so once, and goes on") {
  http_rig rig;
  int said = 0;
  log::set_sink([&](log::level, std::string_view, std::string_view) { ++said; });
  const descriptors allowed(0);
  http_client c(rig.io);
  allowed.none_left();
  c.connect(rig.server.port());
  const auto start = clock_type::now();
  CHECK(rig.counts("http_refused", "no_descriptors", 5));
  CHECK(clock_type::now() - start >= 60ms);  // four pauses of at least 5, 10, 20 and 40 ms
  allowed.set(allowed.was.rlim_cur);
  CHECK(rig.ask(c, get("/hello")).status == 200);
  CHECK(said == 1);
  log::set_sink({});
}

TEST_CASE("HTTP: clients that leave at any point leave nothing behind") {
  http_rig rig;
  for (const std::string start : {"", "G", half, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"}) {
    http_client c(rig.io, rig.server.port());
    if (!start.empty()) REQUIRE(finish(rig.io, c.send(start)).value_or(false));
    REQUIRE(rig.stand(1));
    c.drop();
    CHECK(rig.stand(0));
  }
  CHECK(rig.counters.value("http_closed", "done") == 1);
  CHECK(rig.counters.value("http_closed", "gone") == 3);
  CHECK(rig.refused("malformed") == 0);
}

TEST_CASE("HTTP: close() ends connections wherever they are") {
  http_rig rig;
  std::deque<http_client> all;
  for (const std::string start :
       {"", half, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", "GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n"}) {
    auto& c = all.emplace_back(rig.io, rig.server.port());
    if (!start.empty()) REQUIRE(finish(rig.io, c.send(start)).value_or(false));
  }
  REQUIRE(rig.stand(4));
  REQUIRE(comes_true(rig.io, [&] { return rig.waiting == 1 && rig.counters.value("http_requests", "2xx") == 1; }));
  rig.server.close();
  rig.server.close();
  for (auto& c : all) CHECK(rig.closes(c));
  CHECK_FALSE(rig.ended);  // a route is still at its answer
  rig.release.notify();
  CHECK(comes_true(rig.io, [&] { return rig.ended; }));
  CHECK(rig.counters.value("http_closed", "stopped") == 4);
}
