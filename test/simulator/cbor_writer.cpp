#include "cbor_writer.hpp"

namespace recordkv::sim {

void cbor_writer::head(unsigned major, std::uint64_t n) {
  const auto lead = static_cast<unsigned char>(major << 5);
  if (n < 24) {
    bytes_ += static_cast<char>(lead | n);
    return;
  }
  const int size = n <= 0xff ? 0 : n <= 0xffff ? 1 : n <= 0xffffffff ? 2 : 3;
  bytes_ += static_cast<char>(lead | (24 + size));
  for (int shift = (8 << size) - 8; shift >= 0; shift -= 8) bytes_ += static_cast<char>(n >> shift);
}

void cbor_writer::integer(std::int64_t n) {
  if (n >= 0)
    head(0, static_cast<std::uint64_t>(n));
  else
    head(1, ~static_cast<std::uint64_t>(n));
}

void cbor_writer::link(const sim::cid& target) {
  head(6, 42);
  head(2, 37);
  bytes_ += '\0';
  target.append_binary(bytes_);
}

}  // namespace recordkv::sim
