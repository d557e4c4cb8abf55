// Where the frames of a buffered message come from, and up to which position the buffer has everything.
//
// Owns: header `from` of a message in the buffer, written and read. Also the four headers in its place that messages
// had before there were batches: `source`, `epoch`, `seq`, `late`.
// Does not know: the payload, NATS. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace recordkv::kv {

struct frame_origin {
  std::string source;  ///< "{kind}.{enc(host)}"; empty: the message does not tell
  std::string epoch;   ///< a decimal number; another one means that the source's numbering began again
  /// Once this message is in the buffer, every event of the source up to this number is, or was not wanted. For a bare
  /// frame it is also the frame's own number.
  std::uint64_t seq = 0;
  bool late = false;  ///< the frame came behind newer ones

  friend bool operator==(const frame_origin&, const frame_origin&) = default;
};

/// The name of the header.
constexpr const char* origin_header = "from";

/// The header's value: "{source} {epoch} {seq}", and " late" if it is late.
std::string text_of(const frame_origin& o);

/// `header` returns the value of a header of the message, empty when absent. A value that can't be read counts as
/// absent.
frame_origin read_origin(const std::function<std::string_view(const char* name)>& header);

}  // namespace recordkv::kv
