#include "fake_relay.hpp"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <boost/asio/detached.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

namespace recordkv::test {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using asio::ip::tcp;

fake_relay::fake_relay(asio::io_context& io, asio::ssl::context* tls)
    : io_(io), tls_(tls), acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
  port_ = acceptor_.local_endpoint().port();
  asio::co_spawn(io_, accept(), asio::detached);
}

std::string fake_relay::url(std::string_view path) const {
  return fmt::format("{}://{}:{}{}", tls_ ? "wss" : "ws", tls_ ? "localhost" : "127.0.0.1", port_, path);
}

script fake_relay::next_script() {
  if (scripts_.empty()) return {};
  script out = std::move(scripts_.front());
  scripts_.pop_front();
  return out;
}

task<> fake_relay::accept() {
  while (true) {
    auto [ec, socket] = co_await acceptor_.async_accept(use_task);
    if (ec) co_return;
    asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
  }
}

task<> fake_relay::serve(tcp::socket socket) {
  if (!tls_) co_return co_await talk(socket, socket);
  asio::ssl::stream<tcp::socket&> stream(socket, *tls_);
  auto [ec] = co_await stream.async_handshake(asio::ssl::stream_base::server, use_task);
  if (!ec) co_await talk(stream, socket);
}

template <class Stream>
task<> fake_relay::talk(Stream& stream, tcp::socket& socket) {
  beast::flat_buffer buffer;
  http::request<http::empty_body> request;
  auto [bad, n] = co_await http::async_read(stream, buffer, request, use_task);
  if (bad) co_return;
  targets.emplace_back(request.target());
  const script steps = next_script();
  if (!steps.empty() && steps.front().kind == step::what::refuse) {
    http::response<http::string_body> response(static_cast<http::status>(steps.front().code), 11, steps.front().bytes);
    if (!steps.front().retry_after.empty()) response.set(http::field::retry_after, steps.front().retry_after);
    response.prepare_payload();
    co_await http::async_write(stream, response, use_task);
    co_return;
  }
  websocket::stream<Stream&> ws(stream);
  ws.control_callback([this](websocket::frame_type type, beast::string_view) {
    pings += type == websocket::frame_type::ping;
    pongs += type == websocket::frame_type::pong;
  });
  const auto cork = [&socket](int on) { setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_CORK, &on, sizeof on); };
  if (together) cork(1);
  auto [refused] = co_await ws.async_accept(request, use_task);
  if (refused) co_return;
  for (const step& s : steps) {
    beast::error_code ec;
    std::size_t k = 0;
    if (s.kind == step::what::binary || s.kind == step::what::text) {
      ws.binary(s.kind == step::what::binary);
      std::tie(ec, k) = co_await ws.async_write(asio::buffer(s.bytes), use_task);
    } else if (s.kind == step::what::raw) {
      std::tie(ec, k) = co_await asio::async_write(stream, asio::buffer(s.bytes), use_task);
    } else if (s.kind == step::what::ping) {
      std::tie(ec) = co_await ws.async_ping(websocket::ping_data(s.bytes.c_str()), use_task);
    } else if (s.kind == step::what::close) {
      const websocket::close_reason why(static_cast<websocket::close_code>(s.code), s.bytes.c_str());
      co_await ws.async_close(why, use_task);
      co_return;
    } else if (s.kind == step::what::drop) {
      socket.close(ec);
      co_return;
    } else if (s.kind == step::what::stall) {
      asio::steady_timer forever(io_, std::chrono::hours(24));
      co_await forever.async_wait(use_task);
    } else if (s.kind == step::what::expect) {
      beast::flat_buffer message;
      std::tie(ec, k) = co_await ws.async_read(message, use_task);
      received.push_back(beast::buffers_to_string(message.data()));
    }
    if (ec) co_return;
    if (together) cork(0);
    ++sent;
    sent_bytes += k;
  }
  while (true) {
    beast::flat_buffer message;
    auto [ec, k] = co_await ws.async_read(message, use_task);
    if (ec) co_return;
    received.push_back(beast::buffers_to_string(message.data()));
  }
}

namespace wire {
namespace {

std::string head(unsigned major, std::uint64_t n) {
  const auto first = [major](unsigned low) { return std::string(1, static_cast<char>(major << 5 | low)); };
  if (n < 24) return first(static_cast<unsigned>(n));
  const int bytes = n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x100000000 ? 4 : 8;
  std::string out = first(bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27);
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 0xff);
  return out;
}

std::string str(std::string_view s) { return head(3, s.size()) + std::string(s); }
std::string envelope(std::string_view type) { return head(5, 2) + str("t") + str(type) + str("op") + head(0, 1); }

constexpr std::string_view when = "2026-07-04T12:00:00.000Z";

}  // namespace

std::string identity(std::uint64_t seq, std::string_view did) {
  return envelope("#identity") + head(5, 3) + str("did") + str(did) + str("seq") + head(0, seq) + str("time") +
         str(when);
}

std::string padded(std::uint64_t seq, std::size_t bytes) {
  return envelope("#identity") + head(5, 4) + str("did") + str("did:plc:44ybard66vv44zksje25o7dz") + str("seq") +
         head(0, seq) + str("time") + str(when) + str("padding") + str(std::string(bytes, 'x'));
}

std::string info(std::string_view name) { return envelope("#info") + head(5, 1) + str("name") + str(name); }

std::string error(std::string_view name) {
  return head(5, 1) + str("op") + head(1, 0) + head(5, 2) + str("error") + str(name) + str("message") + str("so it is");
}

std::string unknown(std::uint64_t seq) { return envelope("#novelty") + head(5, 1) + str("seq") + head(0, seq); }

std::string poison(std::string_view did) {
  return envelope("#commit") + head(5, 9) + str("repo") + str(did) + str("seq") + "\xff";
}

std::string like(std::uint64_t time_us, std::string_view did) {
  return fmt::format(
      R"({{"did":"{}","time_us":{},"kind":"commit","commit":{{"rev":"3lc4gxyabcd2z","operation":"create",)"
      R"("collection":"app.bsky.feed.like","rkey":"3lc4gxyabce2z","record":{{"$type":"app.bsky.feed.like",)"
      R"("createdAt":"2026-07-04T12:00:00.000Z","subject":{{"cid":)"
      R"("bafyreidlocwuuwhm2fdk3v2ogwoffmdpvdzbzhuhnbpaxxlscemvt2kxxy","uri":)"
      R"("at://did:plc:44ybard66vv44zksje25o7dz/app.bsky.feed.post/3lc4gxyabcf2z"}}}},)"
      R"("cid":"bafyreidlocwuuwhm2fdk3v2ogwoffmdpvdzbzhuhnbpaxxlscemvt2kxxy"}}}})",
      did, time_us);
}

std::string ws_frame(unsigned first_byte, std::uint64_t length, std::string_view payload) {
  std::string out(1, static_cast<char>(first_byte));
  const int bytes = length < 126 ? 1 : length < 65536 ? 2 : 8;
  if (bytes == 2) out += '\x7e';
  if (bytes == 8) out += '\x7f';
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) out += static_cast<char>(length >> shift & 0xff);
  return out + std::string(payload);
}

}  // namespace wire

}  // namespace recordkv::test
