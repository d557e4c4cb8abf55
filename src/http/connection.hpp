// One connection to one host, and the requests on it, one after the other.
//
// Owns: its socket, its TLS, the bounds of an answer's head and body, and whether another request may follow.
// Does not know: how it was dialled, redirects, and time: drop() ends what waits.
#pragma once

#include "recordkv/http/client.hpp"
#include "recordkv/http/tls.hpp"

#include <boost/beast/core/flat_buffer.hpp>

#include <chrono>
#include <functional>
#include <optional>

namespace recordkv::http {

class connection {
 public:
  /// `what` names the host; later requests have the same origin.
  connection(asio::ip::tcp::socket socket, const url& what)
      : socket_(std::move(socket)), origin_(what.origin()), host_(what.host) {}

  /// The TLS handshake, which checks the certificate and that it names the host.
  task<result<>> secure(asio::ssl::context& authorities);

  /// One GET. errc::closed: the host ended the connection before the first byte of an answer. `heard` is called
  /// whenever a part of the answer has come.
  task<result<answer>> ask(const url& what, const get_limits& limits, const std::function<void()>& heard);

  const std::string& origin() const noexcept { return origin_; }
  /// The last answer is complete, the host has not announced an end, and nothing has come since.
  bool reusable() const noexcept;
  void drop() noexcept;

  std::chrono::steady_clock::time_point idle_since;

 private:
  template <class Stream>
  task<result<answer>> exchange(Stream& stream, const url& what, const get_limits& limits,
                                const std::function<void()>& heard);
  error lost(std::string_view during, const boost::system::error_code& ec) const;

  asio::ip::tcp::socket socket_;
  std::string origin_, host_;
  std::optional<tls_stream> tls_;
  bool reusable_ = false;
};

}  // namespace recordkv::http
