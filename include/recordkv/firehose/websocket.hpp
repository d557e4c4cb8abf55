// One WebSocket connection to a server that talks while we listen.
//
// Owns: dialling (ws, wss), the upgrade, the cutting of messages, pings, and the bound on every wait.
// Does not know: what a message means, whether and when to dial again.
// At most 256 KiB are buffered ahead. The socket is read only inside read(), so a caller that pauses leaves the
// back-pressure to TCP. No compression is offered. One thread only.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::firehose {

/// A ws:// or wss:// address, taken apart.
struct ws_url {
  bool tls = false;
  std::string host;   ///< a name, or an IP address without brackets
  std::string port;   ///< the scheme's own where absent
  std::string path;   ///< begins with '/'; empty where absent
  std::string query;  ///< without '?'

  std::string origin() const;  ///< "wss://host:port", the port only where it is not the scheme's own
  std::string target() const;  ///< what stands in the request line
};

/// errc::bad_config: another scheme, credentials inside, an empty host, a bad port, spaces or control characters.
result<ws_url> parse_ws_url(std::string_view url);

struct websocket_spec {
  ws_url url;
  std::size_t max_message = 5'000'000;
  std::chrono::milliseconds idle{60'000};       ///< nothing received for so long: dead. A ping goes out after half of
                                                ///< it, and after 30 s of silence at the latest
  std::chrono::milliseconds handshake{10'000};  ///< for looking up and connecting; and again for TLS and upgrade
  std::string tls_ca;                           ///< PEM file of further authorities; the system's are always known
};

struct ws_message {
  enum class type {
    text,
    binary,
    oversize,  ///< a message over the limit that was skipped: `bytes` is its beginning
  };
  type what = type::binary;
  std::string bytes;
};

class websocket {
 public:
  websocket(asio::any_io_executor ex, websocket_spec spec);
  ~websocket();  ///< drops the connection
  websocket(const websocket&) = delete;
  websocket& operator=(const websocket&) = delete;

  /// Once. errc::bad_config: this URL can never work (HTTP 400, 401, 403, 404, 501), or the CA file cannot be read.
  /// errc::refused: another HTTP status, or a certificate that is not trusted. Also unreachable, timed_out, malformed
  /// and closed.
  task<result<>> connect();

  /// How long the server that refused the upgrade asked us to stay away.
  std::optional<std::chrono::seconds> retry_after() const;

  /// Appends what has arrived to `out`: at least one message, at most 512 or about 4 MiB. errc::closed: the server
  /// closed, or close() was called. After unreachable, timed_out or malformed (breaks RFC 6455) the connection is
  /// unusable. errc::too_large: the next message is over the limit. The connection lives, and after skip_message() the
  /// next read() delivers the beginning of that message (64 KiB) as `oversize`.
  task<result<>> read(std::vector<ws_message>& out);
  void skip_message();

  /// Queues a text message. Never suspends.
  void send_text(std::string_view text);

  /// Sends a close frame where that needs no wait, and drops the connection. A suspended connect() or read() returns
  /// errc::closed. Idempotent.
  void close() noexcept;

 private:
  struct impl;
  std::shared_ptr<impl> impl_;  // shared with its own pending handlers only
};

}  // namespace recordkv::firehose
