// One client of the stream.
//
// Owns: its position, what is still to be said to it beside the messages.
// Does not know: when to write.
#pragma once

#include "../ws_frames.hpp"
#include "messages.hpp"
#include "signed_feed.hpp"

#include "recordkv/core/event.hpp"
#include "recordkv/core/result.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <charconv>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace recordkv::sim {

struct stream_session {
  stream_session(asio::ip::tcp::socket s, std::uint64_t cuts_so_far) : socket(std::move(s)), cuts(cuts_so_far) {}

  asio::ip::tcp::socket socket;
  std::uint64_t cuts;          ///< it ends when there are more
  std::uint64_t position = 0;  ///< the next message
  std::uint64_t sent = 0;
  bool ended = false;   ///< nothing after what stands in `control`
  std::string control;  ///< frames that go before the next messages
  event gone;
  client_input input;

  /// No cursor: from now on. One that is too old: from the oldest message. One in the future: an error message.
  result<> open(std::string_view cursor, const signed_feed& f);
  void take(const client_message& m);
  /// An error message, and the end.
  void refuse(std::string_view error);
  /// The frames to write next, at most `most`; empty when there are none. Moves the position past them.
  std::string_view next(const signed_feed& f, std::shared_ptr<const block>& hold, std::uint64_t most);
};

}  // namespace recordkv::sim
