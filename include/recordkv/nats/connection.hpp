// The one connection of a process to NATS, driven by the loop.
//
// Owns: the nats.c connection, its inbox, waiting requests, subscriptions. No call enters nats.c while nats.c
// reconnects (docs/architecture.md).
// Does not know: JetStream, streams, records. Loop thread only. It outlives everything that holds a reference to it.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/nats/denial.hpp"
#include "recordkv/nats/message.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::nats {

struct nats_config {
  std::string url;        ///< nats://[user:password@]host:port, several with commas; tls:// for TLS
  std::string creds;      ///< credentials file, or empty
  std::string nkey_seed;  ///< file with the seed of a user NKey, or empty
  std::string tls_ca;     ///< PEM file of the certificate authority, or empty: the system's
  std::string tls_cert;   ///< PEM file of the client certificate and of the chain to its authority, or empty
  std::string tls_key;    ///< PEM file of the client certificate's key
  std::string name = "recordkv";
  std::string api_prefix;  ///< "$JS.hub.API", or empty: the server's own JetStream
  std::string inbox_prefix = "_INBOX";
};

class connection;

/// Messages of one subject, queued until take(). Movable. The destructor unsubscribes: at once, or after the
/// reconnect if the connection is down.
class subscription {
 public:
  subscription() = default;
  ~subscription();
  subscription(subscription&&) noexcept;
  subscription& operator=(subscription&&) noexcept;

  /// Everything that has arrived since the last call; never suspends.
  std::vector<message> take();
  /// Notified once after each read from the socket that brought a message for this subscription.
  event& arrived() noexcept;
  explicit operator bool() const noexcept { return queue_ != nullptr; }

 private:
  friend class connection;
  struct queue;
  explicit subscription(std::shared_ptr<queue> q);
  std::shared_ptr<queue> queue_;
};

struct request_spec {
  std::string subject;
  std::string data;
  header_list headers;
  /// It must not be sent late, see connection::publish(). While the connection is down, it fails at once.
  bool guarded = false;
};

class connection {
 public:
  explicit connection(asio::io_context& io);
  ~connection();  // closes, and joins nats.c's threads; every coroutine that uses it must have ended
  connection(const connection&) = delete;

  /// Tries to connect, once. Runs the loop until the connection is attached. May block the loop for 2 s a server: call
  /// it before other work. errc::unreachable, unauthorized, unsupported. After a later disconnect, the connection is
  /// made again in the background, without end.
  result<void> start(const nats_config& config);

  bool up() const noexcept;
  task<> wait_up();
  /// Notified whenever up() changes.
  event& changed() noexcept;
  /// How often up() has become true; a different number than before means a reconnect.
  std::uint64_t connects() const noexcept;
  /// The id of the connected server process; it changes when the server restarts. Empty while down.
  std::string server_id() const;
  std::size_t max_payload() const noexcept;
  /// Why the connection is down, or empty.
  std::string last_error() const;

  /// The last operation that the server's permissions refused within the last 15 s, in words, or empty. A refused
  /// operation is retried at shorter intervals than that.
  std::string denied() const;

  /// Hands a message to nats.c, which writes it at the end of this turn of the loop. Never blocks, never suspends.
  /// errc::unreachable while down: nothing was sent.
  /// `guarded`: the message must not be written once it has waited for 2 s, because the process was suspended or
  /// the server did not read. The message is then dropped together with the connection, and a new connection is
  /// made (docs/invariants.md X7).
  result<void> publish(const std::string& subject, const std::string& reply, const header_list& headers,
                       std::string_view data, bool guarded = false);

  /// Sends a request and waits for one reply. While the connection is down, waits for it within `timeout`.
  /// errc::timed_out; unreachable: the connection was lost meanwhile; unauthorized: the server's permissions refuse the
  /// request.
  task<result<message>> request(request_spec what, std::chrono::milliseconds timeout = std::chrono::seconds(5));
  /// The same for many requests at once. They may be answered in any order; the result has the order of `what`.
  task<std::vector<result<message>>> request_all(std::vector<request_spec> what,
                                                 std::chrono::milliseconds timeout = std::chrono::seconds(5));

  /// errc::unreachable while down. The subscription survives reconnects.
  result<subscription> subscribe(const std::string& subject);
  /// The subject prefix of this process: "_INBOX.xyz". Every message below this prefix arrives in the one inbox. The
  /// rest of the message's subject tells the receiver.
  const std::string& inbox() const noexcept;

  /// A subject as the server sees it. Callers write `$JS.API.` and `$KV.`, wherever JetStream is.
  std::string on_the_wire(std::string_view subject) const;
  /// By how much the wire's form of a message's subject and reply may be longer than "$KV.…" and "_INBOX.xyz".
  std::size_t longer_on_the_wire() const noexcept;

  /// Returns once the server has processed everything published before (echo through the process's own inbox).
  task<result<void>> flush(std::chrono::milliseconds timeout = std::chrono::seconds(5));

  /// Replies to "<inbox>.p<k>.<attempt>.<ordinal>" go to `sink` of publisher k. Returns k.
  using reply_sink = std::function<void(std::uint64_t attempt, std::uint64_t ordinal, const message& reply)>;
  std::uint64_t add_reply_sink(reply_sink sink);
  void remove_reply_sink(std::uint64_t k);

  /// Called for each publish or subscription that the server's permissions refuse.
  using denial_sink = std::function<void(const denial&)>;
  std::uint64_t add_denial_sink(denial_sink sink);
  void remove_denial_sink(std::uint64_t k);

  /// The process stops. From now on no request waits longer than a second.
  void hurry();

  asio::io_context& io() noexcept;

 private:
  friend class subscription;
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace recordkv::nats
