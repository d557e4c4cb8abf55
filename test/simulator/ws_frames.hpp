// WebSocket (RFC 6455) as a server without extensions needs it.
//
// Owns: the accept key, control frames to send, the parser of what a client sends.
// Does not know: sockets, what messages say. Data frames to send are made once for all clients, in history.
//
// By hand, because Beast writes one message a call: a hundred events in one write are what makes serving cheap.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv::sim {

enum class opcode : std::uint8_t { more = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

/// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string accept_key(std::string_view key);

inline constexpr std::size_t max_frame_head = 10;
/// Writes FIN, the kind, and the length in 7, 16 or 64 bits; a server does not mask. Returns how much it wrote.
std::size_t write_frame_head(char* out, opcode op, std::size_t size) noexcept;
/// A whole data frame.
std::string data_frame(opcode op, std::string_view payload);

/// A control frame; payload ≤ 125 bytes.
std::string control_frame(opcode op, std::string_view payload);
std::string close_frame(std::uint16_t code, std::string_view reason);

struct client_message {
  opcode op = opcode::text;  ///< never `more`
  std::string payload;
};

/// Bytes in, whole messages out.
class client_input {
 public:
  void feed(std::string_view bytes) { bytes_.append(bytes); }
  /// The next whole message, nullopt when more bytes are needed; errc::malformed breaks the connection.
  result<std::optional<client_message>> next();

 private:
  std::string bytes_;
  std::optional<client_message> partial_;  // fragments so far
};

}  // namespace recordkv::sim
