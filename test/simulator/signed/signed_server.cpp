#include "signed_server.hpp"

#include "../filter.hpp"
#include "../ws_frames.hpp"
#include "stream_session.hpp"

#include "recordkv/core/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <array>

namespace recordkv::sim {

namespace http = boost::beast::http;
using asio::ip::tcp;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t max_pieces = 16;  // of an answer that comes slowly

std::string_view body_of(const answer& a) { return a.kept ? *a.kept : a.body; }

std::string head_of(const answer& a, bool keep) {
  const std::string length = a.end == answer_end::no_chunk ? "Transfer-Encoding: chunked"
                                                           : fmt::format("Content-Length: {}", body_of(a).size());
  return fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n{}\r\n{}Connection: {}\r\n\r\n", a.status,
                     http::obsolete_reason(static_cast<http::status>(a.status)), a.type, length, a.headers,
                     keep ? "keep-alive" : "close");
}

/// What a test commands, and what a person looks at, is no request of the network.
bool is_control(const request& r) { return r.target == "/" || r.target.starts_with("/control/"); }

/// The body, or the half of it that is sent before the connection is cut.
void append_body(std::string& to, const answer& a) {
  const std::string_view body = body_of(a);
  if (a.end == answer_end::whole) {
    to += body;
    return;
  }
  const std::string_view half = body.substr(0, body.size() / 2);
  to += a.end == answer_end::short_body ? half : fmt::format("{:x}\r\n{}\r\n", half.size(), half);
}

}  // namespace

signed_server::signed_server(asio::io_context& io, signed_feed& f, conduct c)
    : io_(io), feed_(f), conduct_(std::move(c)) {}

result<std::uint16_t> signed_server::listen(const place& at, std::uint16_t port) {
  const tcp::endpoint where(asio::ip::address_v4::loopback(), port);
  tcp::acceptor acceptor(io_);
  boost::system::error_code ec;
  acceptor.open(where.protocol(), ec);
  if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor.bind(where, ec);
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return fail(errc::unreachable, "cannot listen on 127.0.0.1:{}: {}", port, ec.message());
  const std::uint16_t bound = acceptor.local_endpoint().port();
  listeners_.push_back({at, std::move(acceptor)});
  return bound;
}

void signed_server::start(hosts& h) {
  hosts_ = &h;
  for (listener& l : listeners_) asio::co_spawn(io_, accept(l), asio::detached);
}

task<> signed_server::accept(listener& l) {
  for (;;) {
    auto [ec, socket] = co_await l.acceptor.async_accept(use_task);
    if (ec) {
      log::error("simulator", "accept: {}", ec.message());
      co_return;
    }
    socket.set_option(tcp::no_delay(true), ec);
    asio::co_spawn(io_, serve(std::move(socket), l.at), asio::detached);
  }
}

task<> signed_server::serve(tcp::socket socket, place at) {
  boost::beast::flat_buffer buffer;
  for (auto delay = 2 * conduct_.delay;; delay = conduct_.delay) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(64 * 1024);
    auto [ec, n] = co_await http::async_read(socket, buffer, parser, use_task);
    if (ec) co_return;
    const auto& r = parser.get();
    std::string target(r.target()), key(r["Sec-WebSocket-Key"]);
    if (at.role == role::relay && !key.empty()) {
      stream_session s(std::move(socket), cuts_);
      s.input.feed({static_cast<const char*>(buffer.data().data()), buffer.size()});
      co_await serve_stream(s, std::move(target), std::move(key));
      co_return;
    }
    request asked{.target = std::move(target), .host = std::string(r[http::field::host])};
    answer given = hosts_->respond(at, asked);
    if (!is_control(asked)) given.delay += delay;
    if (!co_await send_answer(socket, std::move(given), r.keep_alive())) co_return;
  }
}

// False: the connection is over.
task<bool> signed_server::send_answer(tcp::socket& socket, answer a, bool keep) {
  if (a.delay > 0ms) {
    asio::steady_timer timer(io_, a.delay);
    co_await timer.async_wait(use_task);
  }
  if (a.drop) co_return false;
  const bool whole = a.end == answer_end::whole;
  std::string text = head_of(a, keep && whole);
  if (!whole || a.trickle > 0ms) {
    append_body(text, a);
    co_return co_await send_slowly(socket, std::move(text), a.trickle) && keep&& whole;
  }
  const std::string_view body = body_of(a);
  const std::array<asio::const_buffer, 2> parts{asio::buffer(text), asio::buffer(body)};
  auto [ec, n] = co_await asio::async_write(socket, parts, use_task);
  co_return !ec && keep;
}

// The head and the first piece are there at once. False: the connection is over.
task<bool> signed_server::send_slowly(tcp::socket& socket, std::string text, std::chrono::milliseconds trickle) {
  const std::size_t size = text.size() / max_pieces + 1;
  for (std::size_t at = 0; at < text.size(); at += size) {
    if (at > 0 && trickle > 0ms) {
      asio::steady_timer timer(io_, trickle / max_pieces);
      co_await timer.async_wait(use_task);
    }
    const std::string_view piece = std::string_view(text).substr(at, size);
    auto [ec, n] = co_await asio::async_write(socket, asio::buffer(piece), use_task);
    if (ec) co_return false;
  }
  co_return true;
}

task<> signed_server::serve_stream(stream_session& s, std::string target, std::string key) {
  using namespace asio::experimental::awaitable_operators;
  const std::string_view path = std::string_view(target).substr(0, target.find('?'));
  const auto opened = path == "/xrpc/com.atproto.sync.subscribeRepos"
                          ? s.open(value_of(parse_query(target), "cursor"), feed_)
                          : result<>(fail(errc::not_found, "there is no stream at {}", path));
  if (opened.has_error()) {
    answer no = refusal(400, "InvalidRequest", opened.error().text);
    co_await send_answer(s.socket, std::move(no), false);
    co_return;
  }
  const std::string hello =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: " +
      accept_key(key) + "\r\n\r\n";
  auto [ec, n] = co_await asio::async_write(s.socket, asio::buffer(hello), use_task);
  if (ec) co_return;
  ++clients_;
  feed_.attend();
  try {
    co_await (stream_to(s) || listen_to(s));
  } catch (const std::exception& e) {
    log::warn("simulator", "client: {}", e.what());
  }
  --clients_;
}

task<> signed_server::stream_to(stream_session& s) {
  std::shared_ptr<const block> hold;
  while (s.cuts == cuts_) {
    if (s.position < feed_.past().oldest()) s.refuse("ConsumerTooSlow");
    if (!s.control.empty()) {
      const std::string frames = std::exchange(s.control, {});
      auto [ec, n] = co_await asio::async_write(s.socket, asio::buffer(frames), use_task);
      if (ec || s.ended) co_return;
    }
    const std::uint64_t most = conduct_.disconnect_after == 0 ? ~std::uint64_t{0} : conduct_.disconnect_after - s.sent;
    if (const std::string_view bytes = s.next(feed_, hold, most); !bytes.empty()) {
      auto [ec, n] = co_await asio::async_write(s.socket, asio::buffer(bytes), use_task);
      if (ec) co_return;
      if (s.sent != conduct_.disconnect_after || conduct_.disconnect_after == 0) continue;
      if (conduct_.on_cut) conduct_.on_cut();
      co_return;
    }
    if (conduct_.complete && feed_.finished()) co_return co_await say_farewell(s);
    feed_.want_more();
    if (s.position == feed_.emitted() && s.control.empty()) co_await feed_.more();
  }
}

task<> signed_server::say_farewell(stream_session& s) {
  const std::string frame = close_frame(1000, "that was all");
  co_await asio::async_write(s.socket, asio::buffer(frame), use_task);
  co_await s.gone.wait_for(2s);  // closing at once could take back what lies in the socket
  conduct_.complete();
}

task<> signed_server::listen_to(stream_session& s) {
  char bytes[4096];
  for (;;) {
    const auto message = s.input.next();
    if (message.has_error()) co_return;
    if (*message) {
      s.take(**message);
      feed_.nudge();
      continue;
    }
    auto [ec, n] = co_await s.socket.async_read_some(asio::buffer(bytes), use_task);
    if (ec) co_return;
    if (!s.ended) s.input.feed({bytes, n});
  }
}

}  // namespace recordkv::sim
