// A raw HTTP client: it sends any bytes at any pace, and reads answers, or doesn't.
//
// Owns: one socket to the loopback interface, and what arrived on it beyond the last answer.
// Does not know: whether what it sends is HTTP.
#pragma once

#include "recordkv/core/task.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::test {

struct http_answer {
  unsigned status = 0;  ///< 0: the connection ended before an answer was whole, or it was none
  std::string head;
  std::string body;
};

class http_client {
 public:
  /// Opens a socket; connect() needs no further descriptor.
  explicit http_client(asio::io_context& io);
  http_client(asio::io_context& io, std::uint16_t port) : http_client(io) { connect(port); }

  /// The kernel answers for the server, which needn't run for it.
  void connect(std::uint16_t port);

  /// False: the connection is gone.
  task<bool> send(std::string bytes);
  /// A few bytes, before the loop turns again.
  void send_now(std::string_view bytes);
  /// A byte at a time; ends when the connection does, or with the last byte.
  task<bool> drip(std::string bytes, std::chrono::milliseconds pause);

  /// The next answer; `only_head`: it was asked with HEAD.
  task<http_answer> answer(bool only_head = false);
  /// True once the server has closed; what it still says is thrown away.
  task<bool> closed();

  task<http_answer> ask(std::string bytes, bool only_head = false);

  void drop() noexcept;

 private:
  asio::ip::tcp::socket socket_;
  std::string held_;
};

/// "GET /path HTTP/1.1" with a host and `fields`, each with its line end.
std::string get(std::string_view path, std::string_view fields = {});
/// "POST /path HTTP/1.1" with a host, `fields` and that body.
std::string post(std::string_view path, std::string_view body, std::string_view fields = {});

}  // namespace recordkv::test
