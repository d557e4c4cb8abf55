// A scripted WebSocket server on the loopback interface.
//
// Owns: accepting, what each connection is told, and the record of what clients asked and sent.
// Does not know: the protocol that is spoken in the messages; `wire` builds a few of them.
#pragma once

#include "recordkv/core/task.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::test {

/// One thing that the server does on a connection, in order.
struct step {
  enum class what { binary, text, ping, raw, close, drop, refuse, expect, stall };
  what kind;
  std::string bytes;  // refuse: the body; close: the reason; raw: straight to the socket
  int code = 0;       // close: the code; refuse: the HTTP status
  std::string retry_after;
};

inline step binary(std::string bytes) { return {step::what::binary, std::move(bytes)}; }
inline step text(std::string bytes) { return {step::what::text, std::move(bytes)}; }
inline step ping() { return {step::what::ping, "p"}; }
inline step raw(std::string bytes) { return {step::what::raw, std::move(bytes)}; }
inline step close_with(int code, std::string reason = {}) { return {step::what::close, std::move(reason), code}; }
inline step drop() { return {step::what::drop, {}}; }
/// In place of the upgrade; only as the first step.
inline step refuse(int status, std::string body = {}, std::string retry_after = {}) {
  return {step::what::refuse, std::move(body), status, std::move(retry_after)};
}
/// Waits for a message of the client.
inline step expect() { return {step::what::expect, {}}; }
/// Neither reads nor writes from here on. (A script that has ended reads and answers pings.)
inline step stall() { return {step::what::stall, {}}; }

using script = std::vector<step>;

class fake_relay {
 public:
  /// `tls`, where given, outlives the relay.
  explicit fake_relay(asio::io_context& io, asio::ssl::context* tls = nullptr);

  /// What the next connection without a script is told. Connections beyond the last script just stay open.
  void then(script s) { scripts_.push_back(std::move(s)); }

  std::string url(std::string_view path = {}) const;
  std::uint16_t port() const { return port_; }

  std::vector<std::string> targets;   ///< request lines' targets, one a connection
  std::vector<std::string> received;  ///< messages of clients
  std::uint64_t sent = 0;             ///< messages that have left for the kernel
  std::uint64_t sent_bytes = 0;
  bool together = false;  ///< the first message leaves in one packet with the answer to the upgrade
  int pings = 0;          ///< from clients
  int pongs = 0;

 private:
  task<> accept();
  task<> serve(asio::ip::tcp::socket socket);
  template <class Stream>
  task<> talk(Stream& stream, asio::ip::tcp::socket& socket);
  script next_script();

  asio::io_context& io_;
  asio::ssl::context* tls_;
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_;
  std::deque<script> scripts_;
};

/// Runs the loop until the task is done; gives up, with nothing, after `limit`.
template <class T>
std::optional<T> finish(asio::io_context& io, task<T> work,
                        std::chrono::steady_clock::duration limit = std::chrono::seconds(20)) {
  struct ending {
    std::optional<T> value;
    std::exception_ptr thrown;
  };
  const auto end = std::make_shared<ending>();  // the task may outlive our patience
  asio::co_spawn(io, std::move(work), [end](std::exception_ptr e, T value) {
    end->thrown = e;
    if (!e) end->value = std::move(value);
  });
  const auto until = std::chrono::steady_clock::now() + limit;
  io.restart();
  while (!end->value && !end->thrown && io.run_one_until(until) > 0) {
  }
  if (end->thrown) std::rethrow_exception(end->thrown);
  return std::move(end->value);
}

/// Runs the loop until `fact` holds; false after `limit`.
template <class Fact>
bool comes_true(asio::io_context& io, Fact fact, std::chrono::steady_clock::duration limit = std::chrono::seconds(20)) {
  const auto until = std::chrono::steady_clock::now() + limit;
  io.restart();
  while (!fact())
    if (io.run_one_until(until) == 0) return fact();
  return true;
}

/// Messages, small but well-formed.
namespace wire {

std::string identity(std::uint64_t seq, std::string_view did);  ///< a frame with #identity
std::string padded(std::uint64_t seq, std::size_t bytes);       ///< #identity with an unknown field of that size
std::string info(std::string_view name);                        ///< a frame with #info
std::string error(std::string_view name);                       ///< an error frame
std::string unknown(std::uint64_t seq);                         ///< a frame of a type that does not exist
std::string poison(std::string_view did);                       ///< names its account, then breaks off
std::string like(std::uint64_t time_us, std::string_view did);  ///< a Jetstream event
/// A server's WebSocket frame with any head: opcode with FIN bit, announced length, what follows.
std::string ws_frame(unsigned first_byte, std::uint64_t length, std::string_view payload);

}  // namespace wire

}  // namespace recordkv::test
