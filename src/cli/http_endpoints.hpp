// The state of this process over HTTP: /healthz, /readyz, /metrics.
//
// Owns: the routes and their answers.
// Does not know: when a part is ready (readiness.hpp), sockets (http/server.hpp), and where a stage's numbers come
// from (core/part_stats.hpp).
#pragma once

#include "recordkv/config.hpp"
#include "recordkv/core/part_stats.hpp"
#include "recordkv/http/server.hpp"
#include "recordkv/nats/connection.hpp"

#include <chrono>
#include <string>

namespace recordkv::cli {

class http_endpoints {
 public:
  http_endpoints(asio::io_context& io, const config& cfg, nats::connection& nc, const stats_board& board);

  /// Listens on http.listen, unless it is empty. An address in use is a warning for the default, an error for a
  /// configured one.
  result<void> open();
  task<> run();
  void close() noexcept;

 private:
  http::response healthz() const;
  http::response readyz() const;
  http::response metrics() const;
  task<> watch_streams();
  task<std::string> ask_streams();

  const config& cfg_;
  nats::connection& nc_;
  const stats_board& board_;
  meters counters_;
  std::string streams_text_;  // what NATS reported of buffer and store most recently
  std::chrono::steady_clock::time_point answered_;
  bool closed_ = false;
  event closing_;
  double started_;
  http::server server_;
};

}  // namespace recordkv::cli
