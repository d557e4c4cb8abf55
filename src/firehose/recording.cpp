#include "recordkv/firehose/recording.hpp"

namespace recordkv::firehose {
namespace {

constexpr std::size_t head_size = 4;

std::uint32_t length_in(std::string_view head) {
  std::uint32_t n = 0;
  for (std::size_t i = head_size; i-- > 0;) n = n << 8 | static_cast<unsigned char>(head[i]);
  return n;
}

}  // namespace

void recording_reader::add(std::string_view bytes) {
  bytes_.erase(0, at_);
  at_ = 0;
  bytes_ += bytes;
}

result<std::optional<std::string>> recording_reader::next() {
  const auto rest = std::string_view(bytes_).substr(at_);
  if (rest.size() < head_size) return std::nullopt;
  const std::size_t size = length_in(rest);
  if (size > max_message_)
    return fail(errc::malformed, "offset {}: a message of {} bytes is over the limit of {}; is this a recording?",
                offset_, size, max_message_);
  if (rest.size() - head_size < size) return std::nullopt;
  at_ += head_size + size;
  offset_ += head_size + size;
  return std::string(rest.substr(head_size, size));
}

result<void> recording_reader::finish() const {
  if (at_ == bytes_.size()) return {};
  return fail(errc::malformed, "offset {}: the file ends within a message", offset_);
}

void append_recorded(std::string& out, std::string_view message) {
  for (unsigned shift = 0; shift < 8 * head_size; shift += 8) out += static_cast<char>(message.size() >> shift & 0xff);
  out += message;
}

}  // namespace recordkv::firehose
