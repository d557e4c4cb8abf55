#include "recordkv/kv/frame_batch.hpp"

namespace recordkv::kv {
namespace {

// CBOR maps begin with 0xA0 to 0xBF, and JSON with '{'.
constexpr char first_byte = 0x01;
constexpr std::size_t length_bytes = 4, seq_bytes = 8;
static_assert(length_bytes + seq_bytes == batched_frame_overhead);

void append_number(std::string& out, std::uint64_t n, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i, n >>= 8) out += static_cast<char>(n & 0xFF);
}

std::uint64_t take_number(std::string_view& in, std::size_t bytes) {
  std::uint64_t n = 0;
  for (std::size_t i = bytes; i-- > 0;) n = n << 8 | static_cast<unsigned char>(in[i]);
  in.remove_prefix(bytes);
  return n;
}

}  // namespace

void append_frame(std::string& batch, batched_frame f) {
  if (batch.empty()) batch += first_byte;
  append_number(batch, f.bytes.size(), length_bytes);
  append_number(batch, f.seq, seq_bytes);
  batch += f.bytes;
}

bool is_batch(std::string_view payload) noexcept { return payload.starts_with(first_byte); }

result<std::vector<batched_frame>> frames_in(std::string_view payload) {
  std::vector<batched_frame> frames;
  if (!is_batch(payload)) {
    frames.push_back({.bytes = payload});
    return frames;
  }
  for (auto rest = payload.substr(1); !rest.empty();) {
    if (frames.size() == max_batch_frames)
      return fail(errc::malformed, "a batch of more than {} frames", max_batch_frames);
    if (rest.size() < batched_frame_overhead) return fail(errc::malformed, "a batch that ends within a length");
    const auto length = take_number(rest, length_bytes);
    const auto seq = take_number(rest, seq_bytes);
    if (length == 0 || length > rest.size())
      return fail(errc::malformed, "a batch with a frame of {} bytes, and {} are left", length, rest.size());
    frames.push_back({.seq = seq, .bytes = rest.substr(0, length)});
    rest.remove_prefix(length);
  }
  if (frames.empty()) return fail(errc::malformed, "a batch without a frame");
  return frames;
}

}  // namespace recordkv::kv
