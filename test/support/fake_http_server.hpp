// A scripted HTTP server on the loopback interface.
//
// Owns: accepting, what each request is told, and the record of what was asked.
// Does not know: HTTP beyond the request line; answers are bytes.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/task.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::test {

struct reply {
  enum class then {
    keep,     ///< waits for the next request
    close,    ///< ends the connection
    mute,     ///< says nothing until the client has gone
    drip,     ///< sends `again` a byte at a time, over and over, until the client has gone
    endless,  ///< sends `again` as fast as it is read, until the client has gone
  };
  std::string bytes;
  then after = then::keep;
  std::string again = "x";
  bool held = false;                  ///< only after release.notify()
  std::chrono::milliseconds delay{};  ///< before it is sent
};

/// A whole answer. `fields` end with their line ends.
reply http_reply(int status, std::string_view body = {}, std::string_view fields = {});

class fake_http_server {
 public:
  /// `tls`, where given, outlives the server.
  explicit fake_http_server(asio::io_context& io, asio::ssl::context* tls = nullptr);

  std::string url(std::string_view host = "127.0.0.1") const;
  std::uint16_t port() const { return port_; }

  std::function<reply(std::string_view target)> answer;  ///< 404 without it

  std::vector<std::string> targets;                          ///< of all requests
  std::vector<std::string> heads;                            ///< the whole requests
  std::vector<std::chrono::steady_clock::time_point> times;  ///< when each arrived
  int connections = 0;                                       ///< accepted in all
  int waiting = 0;                                           ///< held now
  int most_waiting = 0;
  int sent_again = 0;  ///< how often an endless reply has been continued
  int left = 0;        ///< connections that have ended
  event release;

 private:
  task<> accept();
  task<> serve(asio::ip::tcp::socket socket);
  template <class Stream>
  task<> talk(Stream& stream);
  template <class Stream>
  task<bool> say(Stream& stream, reply what);

  asio::io_context& io_;
  asio::ssl::context* tls_;
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_;
};

}  // namespace recordkv::test
