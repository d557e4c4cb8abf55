// The frames of RFC 6455, as a client sees them.
//
// Owns: cutting a server's bytes into messages and control frames, and writing our own few frames.
// Does not know: sockets, time, what messages mean.
// Why not Beast's stream: it reads 1.5 kB at a time and wakes a coroutine for every message. Cutting a large buffer by
// hand is several times cheaper. It also allows a message that is too large to be skipped; Beast would end the
// connection, and so would every later one.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace recordkv::firehose {

struct ws_item {
  enum class type { text, binary, oversize, ping, pong, close };
  type what = type::binary;
  std::string bytes;
};

class ws_cutter {
 public:
  /// How much of a skipped message is kept.
  static constexpr std::size_t kept_of_oversize = 64 * 1024;

  explicit ws_cutter(std::size_t max_message) : max_message_(max_message) {}

  /// Consumes from the front of `in`. True: `out` is one whole message or control frame. False: all of `in` that can
  /// be used is used; at most 13 bytes of a frame's head remain in it. errc::malformed: breaks RFC 6455.
  /// errc::too_large: a message over the limit begins or goes on here; nothing is consumed until
  /// skip_message().
  result<bool> cut(std::string_view& in, ws_item& out);

  /// The message over the limit is read, and only its beginning is kept. A length beyond 64 times the limit stays
  /// refused: it is not plausible.
  void skip_message() noexcept { skipping_ = true; }

 private:
  struct head {
    unsigned op = 0;
    bool fin = false;
    std::uint64_t length = 0;  // until all of the head is here, its first 7 bits, which say 126 or 127
    std::size_t size = 0;      // of the head itself; 0: not all of it is here
  };
  static head read_head(std::string_view in) noexcept;
  result<bool> begin(std::string_view& in);
  result<> check(const head& h, std::string_view in) const;
  bool take_payload(std::string_view& in, ws_item& out);

  std::size_t max_message_;
  bool skipping_ = false;
  bool in_frame_ = false;  // payload of current_ is being taken
  head current_;
  std::uint64_t left_ = 0;   // of the current frame's payload
  bool in_message_ = false;  // a data message has begun and has not ended
  bool text_ = false;
  std::uint64_t total_ = 0;  // announced length of the message so far
  std::string message_;
  std::string control_;
};

/// One whole masked frame, as a client must send it. Opcodes: 1 text, 8 close, 9 ping, 10 pong.
std::string client_frame(unsigned opcode, std::string_view payload, std::uint32_t mask);

}  // namespace recordkv::firehose
