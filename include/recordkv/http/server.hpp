// The HTTP server for status, metrics and queries.
//
// Owns: the listening socket, its connections, and their bounds: how many, how large, how long.
// Does not know: requests and answers; a table of routes is given to it.
// Plain HTTP/1.0 and 1.1, on one loop and one thread. A client cannot make the server hold more than `connections`
// times (header_bytes + body_bytes + one answer), nor keep a connection open without end.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::http {

struct request {
  std::string method;                                     ///< HEAD arrives as GET
  std::string path;                                       ///< decoded
  std::map<std::string, std::string, std::less<>> query;  ///< decoded; of equal names, the first
  std::string body;
  std::string authorization;
};

struct response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

/// `answer` must end by itself. After `answer_time` the client is disconnected, but the coroutine is not cancelled.
struct route {
  std::string method;
  std::string path;  ///< exactly this
  std::function<task<response>(const request&)> answer;
};

struct limits {
  std::size_t connections = 128;
  std::size_t header_bytes = 8192;
  std::size_t body_bytes = 65536;
  std::chrono::milliseconds request_time{10'000};  ///< from a request's first byte to its last
  std::chrono::milliseconds idle_time{30'000};     ///< before the first byte of a request
  std::chrono::milliseconds answer_time{20'000};   ///< from a request's last byte to the last byte of its answer
};

class session;

/// Counters:
///
///   http_accepted  connections.
///   http_closed    by reason, once for each accepted connection.
///   http_requests  by class of status ("2xx"), once for each answer.
///   http_refused   by reason. Before a connection is accepted: too_many, no_descriptors, accept_failed.
///                  Ending the connection: malformed, header_too_large, body_too_large, slow, late, unread.
class server {
 public:
  server(asio::io_context& io, std::vector<route> routes, meters& counters, limits bounds = {});
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// "127.0.0.1:2580", "[::1]:80", "localhost:0" (port 0: any free port). Call it before run(). errc::conflict: the
  /// address is taken; unauthorized: this user may not listen there; bad_config: any other failure.
  result<void> listen(const std::string& host_port);
  std::uint16_t port() const noexcept { return port_; }

  /// Accepts until close(), and returns when every connection has ended. Returns at once if listen() has not succeeded.
  task<> run();
  /// Stops accepting and ends all connections. Idempotent.
  void close() noexcept;

  /// The number of open connections.
  std::size_t connections() const noexcept { return open_.size(); }

 private:
  void admit(asio::ip::tcp::socket socket);
  void admit_waiting();
  task<> serve(std::shared_ptr<session> one);
  bool make_room();
  void not_accepted(const boost::system::error_code& ec);

  const std::vector<route> routes_;
  meters& counters_;
  const limits bounds_;
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
  std::vector<std::shared_ptr<session>> open_;
  nursery children_;
  event stopped_;
  bool closed_ = false;
  std::optional<std::chrono::steady_clock::time_point> complained_;
};

}  // namespace recordkv::http
