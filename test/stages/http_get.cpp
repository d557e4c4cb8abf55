// http/client.hpp against a server that does what it likes: each exchange is bounded in time and memory.
#include "../support/fake_http_server.hpp"
#include "../support/fake_relay.hpp"
#include "../support/own_certificate.hpp"
#include "recordkv/http/client.hpp"

#include <fmt/format.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <cstdlib>
#include <list>

using namespace recordkv;
using namespace recordkv::test;
using namespace std::chrono_literals;
using then = reply::then;

namespace {

struct get_rig {
  explicit get_rig(http::host_rule rule = http::host_rule::any, asio::ssl::context* tls = nullptr)
      : server(io, tls), client(io.get_executor(), rule) {}

  result<http::answer> get(std::string_view url, http::get_limits limits = {}) {
    const auto parsed = http::parse_url(url);
    REQUIRE(parsed.has_value());
    auto said = finish(io, client.get(*parsed, limits));
    REQUIRE(said.has_value());
    return std::move(*said);
  }
  result<http::answer> get_path(std::string_view path, http::get_limits limits = {}) {
    return get(server.url() + std::string(path), limits);
  }
  errc failure(reply what, http::get_limits limits = {}) {
    server.answer = [&](std::string_view) { return what; };
    const auto said = get_path("/", limits);
    REQUIRE_FALSE(said.has_value());
    INFO(said.error().text);
    return said.error().code;
  }

  asio::io_context io{1};
  fake_http_server server;
  http::client client;
};

}  // namespace

TEST_CASE("GET: an answer of any status, and what was asked") {
  get_rig rig;
  rig.server.answer = [](std::string_view) {
    return http_reply(429, "later", "Retry-After: 7\r\nContent-Type: text/plain\r\nLocation: /there\r\n");
  };
  const auto said = rig.get_path("/a?b=c");
  REQUIRE(said.has_value());
  CHECK(said->status == 429);
  CHECK(said->body == "later");
  CHECK(said->retry_after == "7");
  CHECK(said->content_type == "text/plain");
  CHECK(said->location == "/there");
  const auto& head = rig.server.heads.at(0);
  CHECK(head.starts_with("GET /a?b=c HTTP/1.1\r\n"));
  CHECK(head.find(fmt::format("Host: 127.0.0.1:{}\r\n", rig.server.port())) != head.npos);
  CHECK(head.find("User-Agent: recordkv/") != head.npos);
}

TEST_CASE("GET: other forms of a body") {
  get_rig rig;
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  rig.server.answer = [&](std::string_view target) -> reply {
    if (target == "/chunked") return {.bytes = chunked};
    return {.bytes = "HTTP/1.0 200 OK\r\n\r\nuntil the end", .after = then::close};
  };
  CHECK(rig.get_path("/chunked")->body == "abcde");
  CHECK(rig.get_path("/closed")->body == "until the end");
}

TEST_CASE("GET: an answer over a limit is too large, however it grows") {
  get_rig rig;
  const http::get_limits small{.head = 1000, .body = 2000};
  const std::string line = "X-Y: " + std::string(90, 'x') + "\r\n", kilobytes(4000, 'x'),
                    chunk = "fa\r\n" + std::string(250, 'x') + "\r\n";
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2001\r\n\r\n"}, small) == errc::too_large);
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"}, small) == errc::too_large);
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 OK\r\n\r\n" + kilobytes, .after = then::endless}, small) ==
        errc::too_large);
  CHECK(rig.failure(
            {.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .after = then::endless, .again = chunk},
            small) == errc::too_large);
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 OK\r\n", .after = then::endless, .again = line}, small) == errc::too_large);
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 OK\r\nX: " + kilobytes, .after = then::endless}, small) == errc::too_large);
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 " + kilobytes, .after = then::endless}, small) == errc::too_large);
  rig.server.answer = [](std::string_view) { return http_reply(200, std::string(2000, 'x')); };
  CHECK(rig.get_path("/", small)->body.size() == 2000);
}

TEST_CASE("GET: a body's memory is asked for before it grows") {
  get_rig rig;
  std::vector<std::size_t> asked;
  std::size_t allowed = 5;
  const http::get_limits limits{.admit = [&](std::size_t more) {
    asked.push_back(more);
    return more <= allowed;
  }};
  rig.server.answer = [](std::string_view) { return http_reply(404, "12345"); };
  CHECK(rig.get_path("/", limits)->body == "12345");
  CHECK(asked == std::vector<std::size_t>{5});

  asked.clear();
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  rig.server.answer = [&](std::string_view) { return reply{.bytes = head + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"}; };
  CHECK(rig.get_path("/", limits)->body == "abcde");
  CHECK(asked == std::vector<std::size_t>{3, 2});

  allowed = 4;
  CHECK(rig.failure(http_reply(200, "12345"), limits) == errc::full);
  CHECK(rig.failure({.bytes = head + "5\r\nabcde\r\n", .after = then::mute}, limits) == errc::full);
}

TEST_CASE("GET: a server that is silent or slow ends with the time") {
  get_rig rig;
  const http::get_limits brief{.timeout = 100ms};
  CHECK(rig.failure({.bytes = {}, .after = then::mute}, brief) == errc::timed_out);
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 OK\r\n", .after = then::mute}, brief) == errc::timed_out);
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 OK\r\nX: ", .after = then::drip}, brief) == errc::timed_out);
  CHECK(rig.failure({.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", .after = then::drip}, brief) ==
        errc::timed_out);
  // Each connection has been given up.
  CHECK(comes_true(rig.io, [&] { return rig.server.left == 4; }));
}

TEST_CASE("GET: what is no HTTP answer") {
  get_rig rig;
  for (const std::string& bytes : {std::string("SSH-2.0-OpenSSH_9\r\n"), std::string("HTTP/1.1 2000 OK\r\n\r\n"),
                                   std::string("HTTP/9.1 200\r\n\r\n"), std::string("\x16\x03\x01"),
                                   std::string("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
                                   std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
                                   std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"),
                                   std::string("HTTP/1.1 103 Early Hints\r\n\r\n"), std::string()}) {
    INFO(bytes);
    CHECK(rig.failure({.bytes = bytes, .after = then::close}) == errc::unreachable);
  }
}

TEST_CASE("GET: redirects are followed as far as they may be") {
  get_rig rig;
  rig.server.answer = [](std::string_view target) {
    const auto n = target.size();
    return n < 5 ? http_reply(302, "", fmt::format("Location: {}x\r\n", target)) : http_reply(200, "there");
  };
  CHECK(rig.get_path("/")->status == 302);
  CHECK(rig.server.targets.size() == 1);
  CHECK(rig.get_path("/", {.redirects = 3})->status == 302);
  CHECK(rig.get_path("/", {.redirects = 4})->body == "there");
  CHECK(rig.server.targets.back() == "/xxxx");
}

TEST_CASE("GET: a redirect that names what may not be asked") {
  get_rig rig;
  for (const std::string to : {"file:///etc/passwd", "//127.0.0.1/", "gopher://a.b", "", "https://u@a.b/"}) {
    INFO(to);
    rig.server.answer = [&](std::string_view) { return http_reply(301, "", "Location: " + to + "\r\n"); };
    const auto said = rig.get_path("/", {.redirects = 3});
    REQUIRE_FALSE(said.has_value());
    CHECK(said.error().code == errc::malformed);
  }
}

TEST_CASE("GET: a connection is used again") {
  get_rig rig;
  rig.server.answer = [](std::string_view) { return http_reply(200, "x"); };
  for (int i = 0; i < 5; ++i) CHECK(rig.get_path("/")->body == "x");
  CHECK(rig.server.connections == 1);
}

TEST_CASE("GET: connections to many hosts wait for their next request") {
  get_rig rig;
  std::list<fake_http_server> hosts;
  for (int i = 0; i < 100; ++i)
    hosts.emplace_back(rig.io).answer = [](std::string_view) { return http_reply(200, "x"); };
  for (int round = 0; round < 2; ++round)
    for (auto& host : hosts) CHECK(rig.get(host.url() + "/")->body == "x");
  for (auto& host : hosts) CHECK(host.connections == 1);
}

TEST_CASE("GET: a connection that the server has closed is replaced") {
  get_rig rig;
  rig.server.answer = [](std::string_view) {
    auto out = http_reply(200, "x");  // it does not announce its end
    out.after = then::close;
    return out;
  };
  for (int i = 0; i < 3; ++i) CHECK(rig.get_path("/")->body == "x");
  CHECK(rig.server.connections == 3);
}

TEST_CASE("GET: bytes behind an answer are never taken for the next one") {
  get_rig rig;
  rig.server.answer = [](std::string_view) {
    auto out = http_reply(200, "x");
    out.bytes += http_reply(200, "forged").bytes;
    return out;
  };
  for (int i = 0; i < 3; ++i) CHECK(rig.get_path("/")->body == "x");
  CHECK(rig.server.connections == 3);
}

TEST_CASE("GET: nor bytes that come while a connection is idle") {
  get_rig rig;
  rig.server.answer = [](std::string_view) {
    auto out = http_reply(200, "x");
    out.after = then::endless;
    out.again = http_reply(408, "too late").bytes;
    return out;
  };
  for (int i = 1; i <= 3; ++i) {
    CHECK(rig.get_path("/")->body == "x");
    const int before = rig.server.sent_again;
    REQUIRE(comes_true(rig.io, [&] { return rig.server.sent_again > before; }));
    CHECK(rig.server.connections == i);
  }
}

TEST_CASE("GET: only public hosts and their two ports") {
  get_rig rig(http::host_rule::only_public);
  const auto port = rig.server.port();
  for (const std::string& url :
       {rig.server.url(), rig.server.url("localhost"), fmt::format("http://[::1]:{}", port),
        std::string("http://127.0.0.1"), std::string("http://localhost"), std::string("https://[::ffff:10.0.0.1]"),
        std::string("https://0.0.0.0"), std::string("http://169.254.169.254/latest/meta-data"),
        std::string("https://1.1.1.1:22")}) {
    INFO(url);
    const auto said = rig.get(url);
    REQUIRE_FALSE(said.has_value());
    CHECK(said.error().code == errc::malformed);
  }
  CHECK(rig.server.connections == 0);
}

TEST_CASE("GET: close() ends every wait") {
  get_rig rig;
  rig.server.answer = [](std::string_view) { return reply{.bytes = {}, .after = then::mute}; };
  std::vector<result<http::answer>> ends;
  const auto url = *http::parse_url(rig.server.url());
  for (int i = 0; i < 3; ++i)
    asio::co_spawn(rig.io, rig.client.get(url, {.timeout = 1h}),
                   [&](std::exception_ptr, result<http::answer> r) { ends.push_back(std::move(r)); });
  REQUIRE(comes_true(rig.io, [&] { return rig.server.targets.size() == 3; }));
  rig.client.close();
  REQUIRE(comes_true(rig.io, [&] { return ends.size() == 3; }));
  for (const auto& end : ends) CHECK(end.error().code == errc::closed);
  CHECK(rig.get_path("/").error().code == errc::closed);
}

TEST_CASE("GET: nothing listens, or the name does not exist") {
  get_rig rig;
  std::uint16_t free = 0;
  {
    asio::ip::tcp::acceptor other(rig.io, {asio::ip::address_v4::loopback(), 0});
    free = other.local_endpoint().port();
  }
  CHECK(rig.get(fmt::format("http://127.0.0.1:{}", free)).error().code == errc::unreachable);
  CHECK(rig.get("http://localhost.invalid").error().code == errc::unreachable);
}

TEST_CASE("GET: TLS without a trusted certificate of that host asks nothing") {
  const std::string name = GENERATE("localhost", "other.example.com");
  const bool known = GENERATE(false, true);
  const certificate own(name);
  const pem_file ca(known ? own.pem : certificate("localhost").pem);
  setenv("SSL_CERT_FILE", ca.path.c_str(), 1);
  asio::ssl::context tls(asio::ssl::context::tls_server);
  tls.use_certificate(asio::buffer(own.pem), asio::ssl::context::pem);
  tls.use_private_key(asio::buffer(own.key_pem), asio::ssl::context::pem);
  get_rig rig(http::host_rule::any, &tls);
  rig.server.answer = [](std::string_view) { return http_reply(200, "secret"); };

  const bool trusted = known && name == "localhost";
  const auto said = rig.get(rig.server.url("localhost"));
  CHECK(said.has_value() == trusted);
  if (trusted) CHECK(said->body == "secret");
  if (!trusted) CHECK(said.error().text.find("not trusted") != std::string::npos);
  CHECK(rig.server.targets.size() == (trusted ? 1 : 0));
  CHECK_FALSE(rig.get(rig.server.url("127.0.0.1")).has_value());
  unsetenv("SSL_CERT_FILE");
}
