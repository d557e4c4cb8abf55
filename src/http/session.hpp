// One connection, from its acceptance to its end.
//
// Owns: its socket, the request being read, and the one deadline of whatever it waits for.
// Does not know: other connections; the server decides which connection makes room.
#pragma once

#include "recordkv/http/server.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <optional>
#include <string_view>

namespace recordkv::http {

class session : public std::enable_shared_from_this<session> {
 public:
  using clock = std::chrono::steady_clock;

  /// `routes`, `counters` and `bounds` outlive run().
  session(asio::ip::tcp::socket socket, const std::vector<route>& routes, meters& counters, const limits& bounds);

  task<> run();

  /// Drops the connection; run() returns soon. `reason` is counted in http_closed; the first one holds.
  void end(std::string_view reason) noexcept;

  /// Since when it may be ended without loss: no request has begun, or its last answer is sent and marked as the last.
  std::optional<clock::time_point> idle_since() const;
  /// Input has arrived that has not been read yet.
  bool has_input() const;

 private:
  using error_code = boost::system::error_code;
  enum class phase { idle, reading, answering, writing, leaving };
  struct refusal {
    unsigned status;
    std::string_view reason;
    std::string words;
  };

  task<bool> await_request();
  task<std::optional<refusal>> read();
  std::optional<refusal> parse();
  task<> send_continue();
  task<bool> answer();
  task<> refuse(refusal why);
  task<bool> write(response what, std::string_view allow, bool only_head, bool keep);
  task<> drain();

  void enter(phase p, std::chrono::milliseconds limit);
  void bound(std::chrono::milliseconds limit);
  void ring();

  asio::ip::tcp::socket socket_;
  const std::vector<route>& routes_;
  meters& counters_;
  const limits& bounds_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  std::size_t head_bytes_ = 0;  // of the present request's header, as far as the parser has taken it
  phase phase_ = phase::idle;
  clock::time_point since_ = clock::now();  // of the phase
  asio::steady_timer deadline_;
  unsigned turn_ = 0;  // which deadline
  bool late_ = false;  // it has passed
  bool ended_ = false;
};

}  // namespace recordkv::http
