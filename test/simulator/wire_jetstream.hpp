// The network as Jetstream v1 serves it: /subscribe over WebSocket, and two pages for people and tests.
//
// Owns: the listening socket, each client's position and conditions.
// Does not know: how events come about, and what they say.
#pragma once

#include "feed.hpp"

#include "recordkv/core/result.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace recordkv::sim {

class jetstream_server {
 public:
  /// With `complete`, a client that was sent the whole of a finite history is sent away (1000), and then it is called.
  /// The feed outlives the io_context, since clients wait on it to the last.
  jetstream_server(asio::io_context& io, feed& f, unsigned partitions, std::function<void()> complete);

  /// Binds 127.0.0.1 and returns the port; 0 picks a free one.
  result<std::uint16_t> listen(std::uint16_t port);
  task<> accept();

 private:
  struct session;

  task<> serve(asio::ip::tcp::socket socket);
  task<> serve_page(session& s, std::string target);
  task<> stream_to(session& s);
  task<> listen_to(session& s);
  std::string page(std::string_view path) const;

  feed& feed_;
  unsigned partitions_;
  std::function<void()> complete_;
  asio::ip::tcp::acceptor acceptor_;
  std::uint64_t clients_ = 0;
};

}  // namespace recordkv::sim
