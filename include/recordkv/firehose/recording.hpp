// Recordings: messages one behind the other, each behind its length in 32 bits, little endian.
//
// Owns: that format in both directions, and the words for what is no recording.
// Does not know: files, and what the messages mean.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv::firehose {

/// Cuts a recording into its messages, while its bytes come in pieces of any size. Holds one message and one piece.
class recording_reader {
 public:
  explicit recording_reader(std::size_t max_message) noexcept : max_message_(max_message) {}

  void add(std::string_view bytes);

  /// The next message; nullopt: its rest has not been added yet. errc::malformed: its length is over the limit. Then no
  /// later message can be found.
  result<std::optional<std::string>> next();

  /// To be asked when the input has ended. errc::malformed: it ends within a message.
  result<void> finish() const;

  /// Where the next message begins.
  std::uint64_t offset() const noexcept { return offset_; }

 private:
  std::string bytes_;
  std::size_t at_ = 0;  // of the next message in bytes_
  std::uint64_t offset_ = 0;
  std::size_t max_message_;
};

/// Adds one message to a recording.
void append_recorded(std::string& out, std::string_view message);

}  // namespace recordkv::firehose
