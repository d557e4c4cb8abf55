// http/server.hpp with honest clients: what is asked reaches its route, what is answered arrives, and listening.
#include "http_rig.hpp"

#include "../../src/http/target.hpp"

using namespace recordkv;
using namespace recordkv::test;

TEST_CASE("HTTP: a route answers, and HEAD says the same without the body") {
  http_rig rig;
  const auto got = rig.ask(get("/hello"));
  CHECK(got.status == 200);
  CHECK(got.body == "hello\n");
  CHECK(got.head.find("Content-Type: text/plain; charset=utf-8\r\n") != std::string::npos);
  const std::string head = "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n";
  http_client c(rig.io, rig.server.port());
  const auto only = rig.ask(c, head, true);
  CHECK(only.status == 200);
  CHECK(only.head.find("Content-Length: 6\r\n") != std::string::npos);
  CHECK(rig.ask(c, get("/hello")).status == 200);  // what followed the head was no body
  CHECK(rig.counters.value("http_requests", "2xx") == 3);
}

TEST_CASE("HTTP: path, query, body and authorization reach the route") {
  http_rig rig;
  CHECK(rig.ask(get("/ec%68o?a=b%26c&d=e+f&empty&a=second&&%C3%A4=%25")).body ==
        "GET /echo [] [] a=b&c d=e f empty= \xC3\xA4=%");
  const auto posted = rig.ask(post("/echo", "one\r\ntwo", "Authorization: Bearer x\r\n"));
  CHECK(posted.status == 202);
  CHECK(posted.body == "POST /echo [Bearer x] [one\r\ntwo]");
  CHECK(posted.head.find("Content-Type: text/x-echo\r\n") != std::string::npos);
  CHECK(
      rig.ask(
             "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
          .body == "POST /echo [] [abcde]");
  CHECK(rig.ask(get("http://elsewhere/echo?x=1")).body == "GET /echo [] [] x=1");
}

TEST_CASE("HTTP: targets are taken apart, or refused") {
  using http::parse_target;
  const auto path = [](std::string_view s) { return parse_target(s).value_or(http::target{"none", {}}).path; };
  CHECK(path("/") == "/");
  CHECK(path("/a+b%2Fc") == "/a+b/c");
  CHECK(path("http://host") == "/");
  CHECK(path("http://host?q") == "/");
  CHECK(path("/a#b") == "/a");
  for (const auto* wrong :
       {"", "a", "*", "host:80", "/%", "/%4", "/%g1", "/?%", "/?a=%zz", "ftp://host/", "/a b", "/a\x7f"}) {
    INFO(wrong);
    CHECK(path(wrong) == "none");
  }
}

TEST_CASE("HTTP: who asks for what is not there is told what is") {
  http_rig rig;
  http_client c(rig.io, rig.server.port());
  const auto nothing = rig.ask(c, get("/nothing"));
  CHECK(nothing.status == 404);
  CHECK(nothing.body.find("\nGET /hello\n") != std::string::npos);
  CHECK(nothing.body.find("\nPOST /echo\n") != std::string::npos);
  const auto method = rig.ask(c, post("/hello", "x"));
  CHECK(method.status == 405);
  CHECK(method.head.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
  CHECK(rig.ask(c, "BREW /echo HTTP/1.1\r\nHost: a\r\n\r\n").head.find("\r\nAllow: GET, HEAD, POST\r\n") !=
        std::string::npos);
  CHECK(rig.ask(c, "HEAD /only-post HTTP/1.1\r\nHost: a\r\n\r\n", true).status == 405);
  CHECK(rig.ask(c, get("/hello")).status == 200);  // on the same connection
  CHECK(rig.counters.value("http_accepted") == 1);
  CHECK(rig.counters.value("http_requests", "4xx") == 4);
}

TEST_CASE("HTTP: a connection is kept when its client wants it") {
  http_rig rig({.request_time = 200ms, .idle_time = 60s});
  http_client kept(rig.io, rig.server.port());
  for (int i = 0; i < 50; ++i) REQUIRE(rig.ask(kept, get("/hello")).body == "hello\n");
  CHECK(rig.counters.value("http_accepted") == 1);
  CHECK(rig.ask(kept, get("/hello", "Connection: close\r\n")).head.find("Connection: close\r\n") != std::string::npos);
  CHECK(rig.closes(kept));
  CHECK(rig.stand(0));
  http_client old(rig.io, rig.server.port());
  CHECK(rig.ask(old, "GET /hello HTTP/1.0\r\n\r\n").body == "hello\n");
  CHECK(rig.closes(old));
  http_client old_kept(rig.io, rig.server.port());
  for (int i = 0; i < 2; ++i)
    CHECK(rig.ask(old_kept, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").body == "hello\n");
}

TEST_CASE("HTTP: requests that come together are answered one by one") {
  http_rig rig;
  http_client c(rig.io, rig.server.port());
  std::string all;
  for (int i = 0; i < 400; ++i) all += i % 2 ? post("/echo", fmt::format("{}", i)) : get(fmt::format("/echo?n={}", i));
  REQUIRE(finish(rig.io, c.send(all)).value_or(false));
  for (int i = 0; i < 400; ++i) {
    const auto got = finish(rig.io, c.answer()).value_or(http_answer{});
    REQUIRE(got.body == (i % 2 ? fmt::format("POST /echo [] [{}]", i) : fmt::format("GET /echo [] [] n={}", i)));
  }
}

TEST_CASE("HTTP: a large answer arrives whole") {
  http_rig rig;
  CHECK(rig.ask(get("/large")).body.size() == large);
}

TEST_CASE("HTTP: who waits for leave to send a body gets it") {
  http_rig rig;
  http_client c(rig.io, rig.server.port());
  const auto leave = rig.ask(c, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  CHECK(leave.status == 100);
  CHECK(rig.ask(c, "ok").body == "POST /echo [] [ok]");
}

TEST_CASE("HTTP: an address that can't be listened on is an error with a remedy") {
  http_rig rig;
  const auto listen = [&](const std::string& where) {
    http::server other(rig.io, {}, rig.counters);
    const auto ok = other.listen(where);
    return ok ? error{errc::closed, ""} : ok.error();
  };
  const auto taken = listen(fmt::format("127.0.0.1:{}", rig.server.port()));
  CHECK(taken.code == errc::conflict);
  CHECK(taken.text.find(fmt::format("127.0.0.1:{}", rig.server.port())) != std::string::npos);
  CHECK(taken.text.find("http.listen") != std::string::npos);
  for (const auto* wrong : {"", "2580", ":2580", "localhost", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:80x",
                            "::1:80", "[]:80", "127.0.0.1:-1", "203.0.113.1:0"}) {
    INFO(wrong);
    const auto e = listen(wrong);
    CHECK(e.code == errc::bad_config);
    CHECK(e.text.find(wrong) != std::string::npos);
    CHECK(e.text.find("http.listen") != std::string::npos);
  }
  CHECK(listen("localhost:0").code == errc::closed);
  boost::system::error_code no_ipv6;
  asio::ip::tcp::acceptor six(rig.io);
  six.open(asio::ip::tcp::v6(), no_ipv6);
  if (!no_ipv6) six.bind({asio::ip::address_v6::loopback(), 0}, no_ipv6);
  CHECK(listen("[::1]:0").code == (no_ipv6 ? errc::bad_config : errc::closed));
}

TEST_CASE("HTTP: what does not listen has nothing to run") {
  asio::io_context io{1};
  meters counters;
  http::server server(io, {}, counters);
  bool ended = false;
  asio::co_spawn(io, server.run(), [&](std::exception_ptr) { ended = true; });
  CHECK(comes_true(io, [&] { return ended; }));
}
