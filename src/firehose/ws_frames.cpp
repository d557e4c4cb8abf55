#include "ws_frames.hpp"

#include <algorithm>

namespace recordkv::firehose {
namespace {

std::uint64_t big_endian(std::string_view in) {
  std::uint64_t n = 0;
  for (const char c : in) n = n << 8 | static_cast<unsigned char>(c);
  return n;
}

constexpr bool is_control(unsigned op) { return op >= 8; }

}  // namespace

ws_cutter::head ws_cutter::read_head(std::string_view in) noexcept {
  head h;
  h.fin = (in[0] & 0x80) != 0;
  h.op = static_cast<unsigned char>(in[0]) & 0x0f;
  const unsigned length = static_cast<unsigned char>(in[1]) & 0x7f;
  const std::size_t size = length == 127 ? 10 : length == 126 ? 4 : 2;
  h.length = length;
  if (in.size() < size) return h;
  h.size = size;
  h.length = size == 2 ? length : big_endian(in.substr(2, size - 2));
  return h;
}

result<> ws_cutter::check(const head& h, std::string_view in) const {
  if ((in[0] & 0x70) != 0) return fail(errc::malformed, "WebSocket: reserved bits are set");
  if ((in[1] & 0x80) != 0) return fail(errc::malformed, "WebSocket: the server masks its frames");
  if (h.op != 0 && h.op != 1 && h.op != 2 && h.op != 8 && h.op != 9 && h.op != 10)
    return fail(errc::malformed, "WebSocket: opcode {} does not exist", h.op);
  if (is_control(h.op)) {
    if (!h.fin || h.length > 125) return fail(errc::malformed, "WebSocket: a control frame is fragmented or long");
    return {};
  }
  if ((h.op == 0) != in_message_) return fail(errc::malformed, "WebSocket: fragments are out of order");
  if (h.length >> 63 != 0) return fail(errc::malformed, "WebSocket: a frame's length is out of range");
  return {};
}

result<bool> ws_cutter::begin(std::string_view& in) {
  if (in.size() < 2) return false;
  const head h = read_head(in);
  if (auto ok = check(h, in); !ok) return ok.error();
  if (h.size == 0) return false;
  if (!is_control(h.op)) {
    const std::uint64_t total = (in_message_ ? total_ : 0) + h.length;
    if (total > max_message_ && !skipping_)
      return fail(errc::too_large, "a message of at least {} bytes is over the limit of {}", total, max_message_);
    if (total / 64 > max_message_) return fail(errc::malformed, "a message announces {} bytes", total);
    if (!in_message_) text_ = h.op == 1;
    in_message_ = true;
    total_ = total;
    message_.reserve(std::min<std::uint64_t>(total, max_message_));
  }
  in.remove_prefix(h.size);
  current_ = h;
  left_ = h.length;
  in_frame_ = true;
  return true;
}

bool ws_cutter::take_payload(std::string_view& in, ws_item& out) {
  const auto part = in.substr(0, std::min<std::uint64_t>(left_, in.size()));
  std::string& into = is_control(current_.op) ? control_ : message_;
  const bool over = !is_control(current_.op) && total_ > max_message_;
  if (!over)
    into.append(part);
  else if (into.size() < kept_of_oversize)
    into.append(part.substr(0, kept_of_oversize - into.size()));
  in.remove_prefix(part.size());
  left_ -= part.size();
  if (left_ > 0) return false;
  in_frame_ = false;
  if (!current_.fin) return false;
  if (is_control(current_.op)) {
    out.what = current_.op == 8 ? ws_item::type::close : current_.op == 9 ? ws_item::type::ping : ws_item::type::pong;
  } else {
    out.what = over ? ws_item::type::oversize : text_ ? ws_item::type::text : ws_item::type::binary;
    if (over && into.size() > kept_of_oversize) into.resize(kept_of_oversize);
    if (over) skipping_ = false;
    in_message_ = false;
  }
  out.bytes = std::move(into);
  into = {};
  return true;
}

result<bool> ws_cutter::cut(std::string_view& in, ws_item& out) {
  while (true) {
    if (!in_frame_) {
      auto begun = begin(in);
      if (!begun || !*begun) return begun;
    }
    if (take_payload(in, out)) return true;
    if (in_frame_) return false;  // `in` is used up
  }
}

std::string client_frame(unsigned opcode, std::string_view payload, std::uint32_t mask) {
  std::string out;
  out.reserve(payload.size() + 14);
  out += static_cast<char>(0x80 | opcode);
  const auto put = [&out](std::uint64_t n, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 0xff);
  };
  if (payload.size() < 126) {
    put(0x80 | payload.size(), 1);
  } else if (payload.size() < 65536) {
    put(0x80 | 126, 1);
    put(payload.size(), 2);
  } else {
    put(0x80 | 127, 1);
    put(payload.size(), 8);
  }
  const std::size_t key = out.size();
  put(mask, 4);
  for (std::size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ out[key + i % 4]);
  return out;
}

}  // namespace recordkv::firehose
