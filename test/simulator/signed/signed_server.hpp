// The sockets of the signed network: pages over HTTP on every port, the stream over WebSocket on the relay's.
//
// Owns: listening sockets, connections, each stream client's position.
// Does not know: what pages and messages say.
#pragma once

#include "answers.hpp"
#include "signed_feed.hpp"

#include "recordkv/core/result.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>

namespace recordkv::sim {

struct stream_session;

class signed_server {
 public:
  struct conduct {
    std::uint64_t disconnect_after = 0;  ///< messages a connection; 0: never
    std::chrono::milliseconds delay{0};  ///< of each answer; a connection's first one takes twice as long
    std::function<void()> on_cut;        ///< a connection was cut for that
    std::function<void()> complete;  ///< if set: a client that was sent a whole finite stream is sent away, then this
  };

  signed_server(asio::io_context& io, signed_feed& f, conduct c);

  /// Binds 127.0.0.1 and returns the port; 0 picks a free one.
  result<std::uint16_t> listen(const place& at, std::uint16_t port);
  /// Accepts on every port. The hosts outlive the io_context.
  void start(hosts& h);

  /// Cuts every connection of the stream.
  void cut() { ++cuts_, feed_.nudge(); }
  std::uint64_t clients() const noexcept { return clients_; }

 private:
  struct listener {
    place at;
    asio::ip::tcp::acceptor acceptor;
  };

  task<> accept(listener& l);
  task<> serve(asio::ip::tcp::socket socket, place at);
  task<bool> send_answer(asio::ip::tcp::socket& socket, answer a, bool keep);
  task<bool> send_slowly(asio::ip::tcp::socket& socket, std::string text, std::chrono::milliseconds trickle);
  task<> serve_stream(stream_session& s, std::string target, std::string key);
  task<> stream_to(stream_session& s);
  task<> listen_to(stream_session& s);
  task<> say_farewell(stream_session& s);

  asio::io_context& io_;
  signed_feed& feed_;
  conduct conduct_;
  hosts* hosts_ = nullptr;
  std::list<listener> listeners_;
  std::uint64_t clients_ = 0;
  std::uint64_t cuts_ = 0;
};

}  // namespace recordkv::sim
