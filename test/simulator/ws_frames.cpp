#include "ws_frames.hpp"

#include <openssl/evp.h>

namespace recordkv::sim {
namespace {

constexpr std::size_t message_limit = 10'000'000;

std::uint64_t big_endian(std::string_view octets) noexcept {
  std::uint64_t out = 0;
  for (const char c : octets) out = out << 8 | static_cast<unsigned char>(c);
  return out;
}

}  // namespace

std::string accept_key(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr);
  unsigned char encoded[2 * EVP_MAX_MD_SIZE];
  const int length = EVP_EncodeBlock(encoded, digest, static_cast<int>(size));
  return {reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(length)};
}

// RFC 6455 §5.2
std::size_t write_frame_head(char* out, opcode kind, std::size_t size) noexcept {
  out[0] = static_cast<char>(0x80 | static_cast<unsigned>(kind));
  const int octets = size < 126 ? 0 : size <= 0xffff ? 2 : 8;
  out[1] = static_cast<char>(octets == 0 ? size : octets == 2 ? 126 : 127);
  for (int i = 0; i < octets; ++i) out[2 + i] = static_cast<char>(std::uint64_t{size} >> (8 * (octets - 1 - i)));
  return 2 + static_cast<std::size_t>(octets);
}

std::string data_frame(opcode op, std::string_view payload) {
  char head[max_frame_head];
  const std::size_t size = write_frame_head(head, op, payload.size());
  return std::string(head, size).append(payload);
}

std::string control_frame(opcode op, std::string_view payload) {
  payload = payload.substr(0, 125);
  std::string out{static_cast<char>(0x80 | static_cast<unsigned>(op)), static_cast<char>(payload.size())};
  return out.append(payload);
}

std::string close_frame(std::uint16_t code, std::string_view reason) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  return control_frame(opcode::close, payload.append(reason));
}

result<std::optional<client_message>> client_input::next() {
  for (;;) {
    if (bytes_.size() < 2) return std::optional<client_message>();
    const auto first = static_cast<unsigned char>(bytes_[0]), second = static_cast<unsigned char>(bytes_[1]);
    if ((second & 0x80) == 0 || (first & 0x70) != 0) return fail(errc::malformed, "an unmasked or extended frame");
    const std::size_t octets = (second & 0x7f) == 127 ? 8 : (second & 0x7f) == 126 ? 2 : 0;
    const std::size_t head = 2 + octets + 4;
    if (bytes_.size() < head) return std::optional<client_message>();
    const std::uint64_t size = octets == 0 ? second & 0x7f : big_endian(std::string_view(bytes_).substr(2, octets));
    if (size > message_limit) return fail(errc::too_large, "a message over 10 MB");
    if (bytes_.size() - head < size) return std::optional<client_message>();

    client_message m{.op = static_cast<opcode>(first & 15), .payload = bytes_.substr(head, size)};
    for (std::size_t i = 0; i < m.payload.size(); ++i) m.payload[i] ^= bytes_[head - 4 + i % 4];
    bytes_.erase(0, head + size);
    if (m.op >= opcode::close) return std::optional(std::move(m));  // may come between fragments
    if (m.op == opcode::more) {
      if (!partial_) return fail(errc::malformed, "a continuation of nothing");
      partial_->payload += m.payload;
    } else {
      partial_ = std::move(m);
    }
    if (partial_->payload.size() > message_limit) return fail(errc::too_large, "a message over 10 MB");
    if ((first & 0x80) != 0) return std::exchange(partial_, std::nullopt);
  }
}

}  // namespace recordkv::sim
