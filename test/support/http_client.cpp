#include "http_client.hpp"

#include <fmt/format.h>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <charconv>

namespace recordkv::test {

using asio::ip::tcp;

namespace {

std::size_t number_after(std::string_view text, std::string_view what) {
  const auto at = text.find(what);
  std::size_t out = 0;
  if (at != text.npos) std::from_chars(text.data() + at + what.size(), text.data() + text.size(), out);
  return out;
}

}  // namespace

http_client::http_client(asio::io_context& io) : socket_(io, tcp::v4()) {}

void http_client::connect(std::uint16_t port) { socket_.connect({asio::ip::address_v4::loopback(), port}); }

task<bool> http_client::send(std::string bytes) {
  auto [ec, n] = co_await asio::async_write(socket_, asio::buffer(bytes), use_task);
  co_return !ec;
}

void http_client::send_now(std::string_view bytes) { asio::write(socket_, asio::buffer(bytes)); }

task<bool> http_client::drip(std::string bytes, std::chrono::milliseconds pause) {
  asio::steady_timer timer(socket_.get_executor());
  for (const char c : bytes) {
    if (!co_await send(std::string(1, c))) co_return false;
    timer.expires_after(pause);
    co_await timer.async_wait(use_task);
  }
  co_return true;
}

task<http_answer> http_client::answer(bool only_head) {
  auto [ec, n] = co_await asio::async_read_until(socket_, asio::dynamic_buffer(held_), "\r\n\r\n", use_task);
  if (ec) co_return http_answer{};
  http_answer out{.head = held_.substr(0, n)};
  held_.erase(0, n);
  const std::size_t size = only_head ? 0 : number_after(out.head, "Content-Length: ");
  if (held_.size() < size) {
    auto [bad, m] = co_await asio::async_read(socket_, asio::dynamic_buffer(held_),
                                              asio::transfer_exactly(size - held_.size()), use_task);
    if (bad) co_return http_answer{};
  }
  out.body = held_.substr(0, size);
  held_.erase(0, size);
  if (out.head.starts_with("HTTP/1.1 ")) out.status = static_cast<unsigned>(number_after(out.head, "HTTP/1.1 "));
  co_return out;
}

task<bool> http_client::closed() {
  std::string scrap(65536, '\0');
  while (true) {
    auto [ec, n] = co_await socket_.async_read_some(asio::buffer(scrap), use_task);
    if (ec) co_return ec != asio::error::operation_aborted;
  }
}

task<http_answer> http_client::ask(std::string bytes, bool only_head) {
  if (!co_await send(std::move(bytes))) co_return http_answer{};
  co_return co_await answer(only_head);
}

void http_client::drop() noexcept {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

std::string get(std::string_view path, std::string_view fields) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", path, fields);
}

std::string post(std::string_view path, std::string_view body, std::string_view fields) {
  return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: {}\r\n\r\n{}", path, fields, body.size(),
                     body);
}

}  // namespace recordkv::test
