#include "../../src/firehose/recover_did.hpp"
#include "../../src/firehose/ws_frames.hpp"
#include "../support/own_certificate.hpp"
#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/firehose/websocket.hpp"
#include "source_rig.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/write.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace recordkv;
using namespace recordkv::test;
using firehose::ws_cutter;
using firehose::ws_item;

namespace {

struct cut_up {
  std::vector<std::string> messages;  // "t:…", "b:…", "o:…", "9:…"
  std::optional<errc> failed;
  bool operator==(const cut_up&) const = default;
};

// Feeds `stream` in pieces of `step` bytes, as a socket would.
cut_up cut_all(std::string_view stream, std::size_t step, std::size_t limit, bool skip = false) {
  ws_cutter cutter(limit);
  cut_up out;
  std::string held;
  for (std::size_t at = 0; at < stream.size() && !out.failed; at += step) {
    held += stream.substr(at, step);
    std::string_view in = held;
    ws_item item;
    while (true) {
      const auto whole = cutter.cut(in, item);
      if (!whole && whole.error().code == errc::too_large && skip) {
        cutter.skip_message();
        continue;
      }
      if (!whole) out.failed = whole.error().code;
      if (!whole || !*whole) break;
      out.messages.push_back(std::string(1, "tbo9AC"[static_cast<int>(item.what)]) + ":" + item.bytes);
    }
    held.erase(0, held.size() - in.size());
    if (!out.failed) CHECK(held.size() <= 13);
  }
  return out;
}

}  // namespace

TEST_CASE("frames are cut the same way, however the bytes arrive") {
  const std::string medium(300, 'm'), large(70'000, 'l');
  const std::string stream = wire::ws_frame(0x81, 2, "hi") + wire::ws_frame(0x82, medium.size(), medium) +
                             wire::ws_frame(0x01, 3, "one") + wire::ws_frame(0x89, 1, "p") +
                             wire::ws_frame(0x00, 3, "two") + wire::ws_frame(0x8a, 0, "") +
                             wire::ws_frame(0x80, 0, "") + wire::ws_frame(0x82, large.size(), large) +
                             wire::ws_frame(0x82, 0, "") + wire::ws_frame(0x88, 2, "\x03\xe8");
  const std::size_t step = GENERATE(1, 2, 3, 7, 1000, 1'000'000);
  const auto got = cut_all(stream, step, 100'000);
  CHECK(got.messages ==
        std::vector<std::string>{"t:hi", "b:" + medium, "9:p", "A:", "t:onetwo", "b:" + large, "b:", "C:\x03\xe8"});
  CHECK_FALSE(got.failed);
}

TEST_CASE("bytes that break RFC 6455 are refused") {
  const std::string bad = GENERATE(
      wire::ws_frame(0xc2, 1, "x"), wire::ws_frame(0x83, 1, "x"), wire::ws_frame(0x8b, 1, "x"),
      wire::ws_frame(0x80, 1, "x"), wire::ws_frame(0x09, 1, "x"), wire::ws_frame(0x89, 126, std::string(126, 'x')),
      wire::ws_frame(0x02, 1, "x") + wire::ws_frame(0x82, 1, "x"), std::string("\x82\x81mask!"));
  CHECK(cut_all(bad, 1000, 1000).failed == errc::malformed);
  CHECK(cut_all(wire::ws_frame(0x82, ~0ull, "x"), 1000, 1000, true).failed == errc::malformed);
}

TEST_CASE("a message over the limit is refused, and skipped on request") {
  const std::string big(200'000, 'b');
  const std::string stream = wire::ws_frame(0x82, big.size(), big) + wire::ws_frame(0x81, 2, "hi");
  const std::string pieces = wire::ws_frame(0x02, 90'000, big.substr(0, 90'000)) +
                             wire::ws_frame(0x80, 110'000, big.substr(90'000)) + wire::ws_frame(0x81, 2, "hi");
  for (const auto& s : {stream, pieces}) {
    CHECK(cut_all(s, 5000, 100'000).failed == errc::too_large);
    const auto got = cut_all(s, 5000, 100'000, true);
    CHECK(got.messages == std::vector<std::string>{"o:" + big.substr(0, ws_cutter::kept_of_oversize), "t:hi"});
  }
  CHECK(cut_all(wire::ws_frame(0x82, 100'000 * 65ull, "x"), 100, 100'000, true).failed == errc::malformed);
}

TEST_CASE("client frames are masked") {
  const std::string large(70'000, 'x');
  for (const std::string& text : {std::string("ping"), large.substr(0, 200), large}) {
    std::string f = firehose::client_frame(1, text, 0x01020304);
    const std::size_t head = text.size() < 126 ? 2 : text.size() < 65536 ? 4 : 10;
    REQUIRE(f.size() == head + 4 + text.size());
    CHECK((f[1] & 0x80) != 0);
    f[1] = static_cast<char>(f[1] & 0x7f);
    for (std::size_t i = 0; i < text.size(); ++i) f[head + 4 + i] = static_cast<char>(f[head + 4 + i] ^ (i % 4 + 1));
    f.erase(head, 4);
    CHECK(cut_all(f, 1 << 20, 1 << 20).messages == std::vector{"t:" + text});
  }
}

TEST_CASE("addresses") {
  const auto u = firehose::parse_ws_url("wss://relay.example.com/a/b?c=d#e");
  REQUIRE(u.has_value());
  CHECK((u->tls && u->host == "relay.example.com" && u->port == "443" && u->target() == "/a/b?c=d"));
  CHECK(u->origin() == "wss://relay.example.com");
  const auto v = firehose::parse_ws_url("ws://[::1]:2583?x");
  REQUIRE(v.has_value());
  CHECK((!v->tls && v->host == "::1" && v->port == "2583" && v->path.empty() && v->target() == "/?x"));
  CHECK(v->origin() == "ws://[::1]:2583");
  for (const auto bad : {"", "http://a", "wss://", "wss://a:b", "wss://a:0", "wss://a:65536", "wss://u:p@a",
                         "wss://[::1", "wss://[::1]x", "wss://a b", "wss://a/\r\nX: y", "wss://a:1:2"})
    CHECK(firehose::parse_ws_url(bad).error().code == errc::bad_config);
}

TEST_CASE("the account of a frame that cannot be read") {
  const std::string did = "did:plc:44ybard66vv44zksje25o7dz";
  const std::string key = "\x64repo\x78\x20", mention =
                                                  "\x63"
                                                  "did\x78\x20" +
                                                  did;
  CHECK(firehose::recover_did("\xa2" + key + did + "\x64time") == did);
  CHECK(firehose::recover_did("\xa2\x63"
                              "did\x78\x20" +
                              did) == did);
  CHECK(firehose::recover_did(R"({"time_us":1, "did" : "did:web:example.com", "x)") == "did:web:example.com");
  CHECK(firehose::recover_did("\xa2" + key + did.substr(0, 20)).empty());  // cut off
  CHECK(firehose::recover_did("\xa2\x64repo\x63"
                              "did")
            .empty());  // no DID
  CHECK(firehose::recover_did("\xa2\x66"
                              "blocks" +
                              mention)
            .empty());                                                       // an account that a record mentions
  CHECK(firehose::recover_did(std::string(70'000, 'x') + mention).empty());  // too far
  CHECK(firehose::recover_did(R"({"did":"did:plc:abc\u0041"})").empty());
  CHECK(firehose::recover_did("").empty());
}

namespace {

// Takes one connection, reads its request, answers with these bytes, and holds still.
task<int> answer(asio::ip::tcp::acceptor& acceptor, std::string bytes) {
  auto [ec, socket] = co_await acceptor.async_accept(use_task);
  char request[4096];
  co_await socket.async_read_some(asio::buffer(request), use_task);
  co_await asio::async_write(socket, asio::buffer(bytes), use_task);
  co_await socket.async_read_some(asio::buffer(request), use_task);
  co_return 0;
}

std::optional<result<>> dial(source_rig& rig, std::uint16_t port, std::string bytes, asio::ip::tcp::acceptor* acceptor,
                             std::chrono::milliseconds handshake = 10s) {
  const auto url = firehose::parse_ws_url(fmt::format("ws://127.0.0.1:{}", port));
  firehose::websocket_spec spec{.url = *url, .handshake = handshake};
  firehose::websocket ws(rig.io.get_executor(), spec);
  if (acceptor) asio::co_spawn(rig.io, answer(*acceptor, std::move(bytes)), asio::detached);
  return finish(rig.io, ws.connect());
}

}  // namespace

TEST_CASE("an answer that is not WebSocket does no harm") {
  source_rig rig;
  asio::ip::tcp::acceptor acceptor(rig.io, {asio::ip::address_v4::loopback(), 0});
  const auto port = acceptor.local_endpoint().port();
  const std::string upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
  const auto [bytes, expected] = GENERATE_COPY(table<std::string, errc>({
      {"", errc::timed_out},
      {"HTTP/1.1 101 Sw", errc::timed_out},
      {"SSH-2.0-OpenSSH_9.2\r\n", errc::malformed},
      {upgrade + "Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n", errc::malformed},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", errc::refused},
      {"HTTP/1.1 503 Busy\r\nContent-Length: 99999999999999999\r\n\r\nhello", errc::refused},
      {"HTTP/1.1 200 OK\r\nX: " + std::string(200'000, 'x'), errc::malformed},
  }));
  INFO(bytes.substr(0, 100));
  const auto got = dial(rig, port, bytes, &acceptor, expected == errc::timed_out ? 100ms : 10s);
  REQUIRE(got);
  REQUIRE(got->has_error());
  CHECK(got->error().code == expected);
}

TEST_CASE("no server answers") {
  source_rig rig;
  std::uint16_t port = 0;
  {
    asio::ip::tcp::acceptor gone(rig.io, {asio::ip::address_v4::loopback(), 0});
    port = gone.local_endpoint().port();
  }
  const auto got = dial(rig, port, {}, nullptr);
  REQUIRE(got);
  CHECK(got->error().code == errc::unreachable);
}

TEST_CASE("TLS: without a trusted certificate no connection stands") {
  source_rig rig;
  const std::string name = GENERATE("localhost", "other.example.com");
  const certificate own(name);
  const pem_file ca(own.pem);
  asio::ssl::context tls(asio::ssl::context::tls_server);
  tls.use_certificate(asio::buffer(own.pem), asio::ssl::context::pem);
  tls.use_private_key(asio::buffer(own.key_pem), asio::ssl::context::pem);
  fake_relay relay(rig.io, &tls);
  for (int i = 0; i < 3; ++i)
    relay.then({binary(wire::identity(1, "did:plc:44ybard66vv44zksje25o7dz")), ping(), close_with(1000)});
  auto spec = rig.spec(relay.url());
  spec.retry_base = 60s;

  for (const bool known : {false, true}) {
    spec.tls_ca = known ? ca.path : "";
    const auto source = firehose::make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
    std::optional<bool> got;
    asio::co_spawn(rig.io, source->next(), [&](std::exception_ptr, result<std::vector<frame>> r) { got = bool(r); });
    const auto before = rig.reconnects("refused");
    REQUIRE(comes_true(rig.io, [&] { return got || rig.reconnects("refused") > before; }));
    const bool trusted = known && name == "localhost";
    CHECK(got.value_or(false) == trusted);
    CHECK(relay.targets.size() == (trusted ? 1 : 0));
    if (!trusted) {
      INFO(source->last_error());
      CHECK(source->last_error().find("the certificate of localhost is not trusted: ") != std::string::npos);
      CHECK(source->last_error().find(known ? "hostname mismatch" : "self-signed certificate") != std::string::npos);
    }
    source->close();
    rig.io.restart();
    rig.io.poll();
  }
}

TEST_CASE("TLS: an authority file that cannot be read is a configuration error") {
  source_rig rig;
  asio::ip::tcp::acceptor mute(rig.io, {asio::ip::address_v4::loopback(), 0});
  auto spec = rig.spec(fmt::format("wss://127.0.0.1:{}", mute.local_endpoint().port()));
  spec.tls_ca = "/nowhere/ca.pem";
  const auto source = firehose::make_subscribe_repos(rig.io.get_executor(), spec, rig.counters);
  const auto got = rig.next(*source);
  REQUIRE(got);
  CHECK(got->error().code == errc::bad_config);
}
