// The inside of websocket: what its two halves, dialling and talking, share.
//
// Owns: the connection's state and its one timer.
// Refuses to know: anything outside one connection.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/firehose/websocket.hpp"
#include "ws_frames.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>

#include <random>

namespace recordkv::firehose {

// Lives on while a handler of its own is pending; the handlers reach nothing else.
struct websocket::impl : std::enable_shared_from_this<impl> {
  using clock = std::chrono::steady_clock;
  using tcp = asio::ip::tcp;
  using error_code = boost::system::error_code;
  static constexpr std::size_t read_ahead = 256 * 1024;

  impl(asio::any_io_executor e, websocket_spec s)
      : ex(e), spec(std::move(s)), resolver(e), socket(e), timer(e), cutter(spec.max_message), buffer(read_ahead) {}

  asio::any_io_executor ex;
  websocket_spec spec;
  tcp::resolver resolver;
  tcp::socket socket;
  std::optional<asio::ssl::context> authorities;
  std::optional<asio::ssl::stream<tcp::socket&>> tls;
  std::optional<std::chrono::seconds> retry_after;

  // One timer bounds whatever is being waited for. It is not set anew for each read: when it fires early, it looks at
  // `dead_at` and `ping_at` and goes back to sleep.
  asio::steady_timer timer;
  clock::time_point dead_at = clock::time_point::max();
  clock::time_point ping_at = clock::time_point::max();
  clock::time_point armed_for = clock::time_point::max();
  bool timed_out = false;
  bool closed = false;
  bool upgraded = false;  // frames may be sent

  bool looked_up = false;
  error_code look_up_error;
  tcp::resolver::results_type endpoints;
  event woken;

  ws_cutter cutter;
  std::vector<char> buffer;
  std::string_view unread;  // in buffer
  std::optional<error> broken;

  std::string waiting;  // frames to send
  std::string sending;
  bool writing = false;
  std::mt19937 masks{std::random_device{}()};

  void bound(clock::duration limit, clock::duration silence = clock::duration::max());
  void arm();
  void ring();
  error lost(std::string_view during, const error_code& ec) const;
  void drop() noexcept;
  task<result<>> look_up();
  task<result<>> reach();
  task<result<>> secure();
  task<result<>> read_some();
  result<> cut(std::vector<ws_message>& out);
  result<> control(ws_item& item);
  void send(unsigned opcode, std::string_view payload);
  void write_on();
};

}  // namespace recordkv::firehose
