// The HTTP exchange that turns a connection into a WebSocket.
//
// Owns: the request, the check of the answer, and the reading of a refusal.
// Does not know: how the connection was dialled, and what is sent on it afterwards.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/firehose/websocket.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>

namespace recordkv::firehose {

struct upgrade_answer {
  result<> accepted;
  std::string ahead;  ///< bytes that came right behind the answer: the first frames
  std::optional<std::chrono::seconds> retry_after;
};

/// Exactly one of the two streams is used: `tls` where it is not null. The caller bounds the time by closing them.
task<upgrade_answer> upgrade(boost::asio::ip::tcp::socket& plain,
                             boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>* tls, const ws_url& url);

}  // namespace recordkv::firehose
