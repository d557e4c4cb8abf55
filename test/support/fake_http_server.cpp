#include "fake_http_server.hpp"

#include <fmt/format.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>

namespace recordkv::test {

using asio::ip::tcp;

reply http_reply(int status, std::string_view body, std::string_view fields) {
  return {.bytes = fmt::format("HTTP/1.1 {} Some Words\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), fields,
                               body)};
}

fake_http_server::fake_http_server(asio::io_context& io, asio::ssl::context* tls)
    : io_(io), tls_(tls), acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
  port_ = acceptor_.local_endpoint().port();
  asio::co_spawn(io_, accept(), asio::detached);
}

std::string fake_http_server::url(std::string_view host) const {
  return fmt::format("{}://{}:{}", tls_ != nullptr ? "https" : "http", host, port_);
}

task<> fake_http_server::accept() {
  while (true) {
    auto [ec, socket] = co_await acceptor_.async_accept(use_task);
    if (ec) co_return;
    ++connections;
    asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
  }
}

task<> fake_http_server::serve(tcp::socket socket) {
  if (tls_ == nullptr) {
    co_await talk(socket);
  } else {
    asio::ssl::stream<tcp::socket&> stream(socket, *tls_);
    auto [ec] = co_await stream.async_handshake(asio::ssl::stream_base::server, use_task);
    if (!ec) co_await talk(stream);
  }
  ++left;
}

template <class Stream>
task<> fake_http_server::talk(Stream& stream) {
  std::string held;
  while (true) {
    auto [ec, n] = co_await asio::async_read_until(stream, asio::dynamic_buffer(held), "\r\n\r\n", use_task);
    if (ec) co_return;
    const std::string head = held.substr(0, n);
    held.erase(0, n);
    const auto from = head.find(' ') + 1;
    heads.push_back(head);
    targets.push_back(head.substr(from, head.find(' ', from) - from));
    times.push_back(std::chrono::steady_clock::now());
    reply what = answer ? answer(targets.back()) : http_reply(404);
    if (!co_await say(stream, std::move(what))) co_return;
  }
}

/// False: the connection ends.
template <class Stream>
task<bool> fake_http_server::say(Stream& stream, reply what) {
  using then = reply::then;
  asio::steady_timer timer(io_);
  if (what.held) {
    most_waiting = std::max(most_waiting, ++waiting);
    co_await release.wait();
    --waiting;
  }
  if (what.delay.count() > 0) {
    timer.expires_after(what.delay);
    co_await timer.async_wait(use_task);
  }
  auto [ec, n] = co_await asio::async_write(stream, asio::buffer(what.bytes), use_task);
  for (std::size_t i = 0; !ec && what.after == then::drip; i = (i + 1) % what.again.size()) {
    timer.expires_after(std::chrono::milliseconds(2));
    co_await timer.async_wait(use_task);
    std::tie(ec, n) = co_await asio::async_write(stream, asio::buffer(what.again.data() + i, 1), use_task);
  }
  while (!ec && what.after == then::endless) {
    std::tie(ec, n) = co_await asio::async_write(stream, asio::buffer(what.again), use_task);
    ++sent_again;
  }
  char byte = 0;
  while (!ec && what.after == then::mute)
    std::tie(ec, n) = co_await stream.async_read_some(asio::buffer(&byte, 1), use_task);
  co_return !ec && what.after == then::keep;
}

}  // namespace recordkv::test
