// HTTP GET from hosts that are named by hostile input.
//
// Owns: DNS, connecting (IPv4 and IPv6 in parallel), TLS, a few idle connections. Also the bounds of head, body, time
// and redirects, and the rule for addresses. The rule is applied after DNS, to each address before it is connected to.
// Does not know: DIDs, and what a body means. One thread: the loop's. No proxies, no cookies.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/http/url.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace recordkv::http {

namespace asio = boost::asio;

struct get_limits {
  std::chrono::milliseconds timeout{10'000};  ///< of the whole exchange, redirects included
  std::size_t head = 16 << 10;                ///< bytes of the answer's head
  std::size_t body = 256 << 10;               ///< bytes of its body
  int redirects = 0;                          ///< how many are followed, each checked anew
  /// Asked before the body's memory grows by `more` bytes; false ends the get(). A body whose length is announced is
  /// asked for at once. The bodies of redirects are asked for, too. Empty: only `body` limits.
  std::function<bool(std::size_t more)> admit;
  /// For so long nothing may come: no connection, no whole head, no byte of the body. Empty: only `timeout` limits.
  std::optional<std::chrono::milliseconds> stalled;
};

/// Which hosts may be asked.
enum class host_rule {
  only_public,  ///< public addresses (http/address.hpp), ports 443 and 80
  any,          ///< every address and port; for hosts from the configuration, and for development
};

struct answer {
  unsigned status = 0;
  std::string body;
  std::string retry_after;  ///< the header, as sent; empty: absent. The same for those below.
  std::string content_type;
  std::string location;
  std::string rate_limit_reset;
};

class client {
 public:
  client(asio::any_io_executor loop, host_rule rule);
  ~client();  ///< as close()
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  /// Any status is a success. A redirect beyond limits.redirects is returned as it is. Errors:
  ///   errc::malformed    the URL, or a redirect, names a host, scheme, port or address that may not be asked. No
  ///                      connection to such an address was opened.
  ///   errc::too_large    the head or the body exceeds its limit.
  ///   errc::full         limits.admit said no.
  ///   errc::timed_out    limits.timeout has passed, or limits.stalled without progress.
  ///   errc::unreachable  DNS, connection, TLS, or an answer that is not HTTP.
  ///   errc::closed       close() was called.
  task<result<answer>> get(url what, get_limits limits = {});

  /// Ends every get() under way. A look-up of a name that is still running does not delay the end.
  void close() noexcept;

 private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace recordkv::http
