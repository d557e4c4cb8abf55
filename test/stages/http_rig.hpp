// What the tests of the HTTP server share: a loop, a server with a few routes, and the books that must balance at the
// end.
#pragma once

#include "../support/fake_relay.hpp"
#include "../support/http_client.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/http/server.hpp"

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>

namespace recordkv::test {

using namespace std::chrono_literals;

constexpr std::size_t large = 32'000'000;  // more than the kernel takes for a client that does not read

struct http_rig {
  explicit http_rig(http::limits bounds = {}) : server(io, routes(), counters, bounds) {
    const auto listening = server.listen("127.0.0.1:0");
    INFO((listening ? "" : listening.error().text));
    REQUIRE(listening);
    asio::co_spawn(io, server.run(), [this](std::exception_ptr e) {
      ended = true;
      if (e) std::rethrow_exception(e);
    });
  }

  // Each connection that was accepted has ended, once, with a reason.
  ~http_rig() {
    release.notify();
    server.close();
    CHECK(comes_true(io, [this] { return ended; }));
    CHECK(server.connections() == 0);
    std::uint64_t closed_in_all = 0;
    for (const auto& [key, n] : counters.all())
      if (key.first == "http_closed") closed_in_all += n;
    CHECK(closed_in_all == counters.value("http_accepted"));
  }

  std::vector<http::route> routes() {
    return {
        {"GET", "/hello",
         [](const http::request&) -> task<http::response> { co_return http::response{.body = "hello\n"}; }},
        {"GET", "/echo", echo},
        {"POST", "/echo", echo},
        {"POST", "/only-post", echo},
        {"GET", "/large",
         [](const http::request&) -> task<http::response> {
           co_return http::response{.body = std::string(large, 'x')};
         }},
        {"GET", "/stuck", [this](const http::request&) { return stuck(); }},
    };
  }

  static task<http::response> echo(const http::request& r) {
    http::response out{.status = 202, .content_type = "text/x-echo"};
    out.body = fmt::format("{} {} [{}] [{}]", r.method, r.path, r.authorization, r.body);
    for (const auto& [key, value] : r.query) out.body += fmt::format(" {}={}", key, value);
    co_return out;
  }

  task<http::response> stuck() {
    ++waiting;
    co_await release.wait();
    co_return http::response{.body = "at last\n"};
  }

  http_answer ask(http_client& c, std::string bytes, bool only_head = false) {
    return finish(io, c.ask(std::move(bytes), only_head)).value_or(http_answer{});
  }
  /// A new client's request, as an honest one would make it.
  http_answer ask(std::string bytes, bool only_head = false) {
    http_client c(io, server.port());
    return ask(c, std::move(bytes), only_head);
  }
  bool closes(http_client& c) { return finish(io, c.closed()).value_or(false); }
  bool counts(std::string_view name, std::string_view reason, std::uint64_t n = 1) {
    return comes_true(io, [&, this] { return counters.value(name, reason) >= n; });
  }
  bool stand(std::size_t n) {
    return comes_true(io, [&, this] { return server.connections() == n; });
  }
  auto refused(std::string_view why) const { return counters.value("http_refused", why); }

  asio::io_context io{1};
  meters counters;
  event release;
  int waiting = 0;  // requests in /stuck
  bool ended = false;
  http::server server;
};

}  // namespace recordkv::test
