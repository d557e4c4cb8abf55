// Heads in their shortest form.
//
// Owns: the bytes of a head. Does not know: what follows it.
#include "cbor_write.hpp"

namespace recordkv::atproto::cbor {

void append_head(std::string& out, major m, std::uint64_t n) {
  const auto first = static_cast<unsigned>(m) << 5;
  const auto put = [&](unsigned info, int width) {
    out += static_cast<char>(first | info);
    for (int shift = (width - 1) * 8; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 0xFF);
  };
  if (n < 24) {
    out += static_cast<char>(first | n);
  } else if (n <= 0xFF) {
    put(24, 1);
  } else if (n <= 0xFFFF) {
    put(25, 2);
  } else if (n <= 0xFFFF'FFFF) {
    put(26, 4);
  } else {
    put(27, 8);
  }
}

void append_string(std::string& out, major m, std::string_view s) {
  append_head(out, m, s.size());
  out += s;
}

void append_integer(std::string& out, std::int64_t n) {
  if (n >= 0) {
    append_head(out, major::positive, static_cast<std::uint64_t>(n));
  } else {
    append_head(out, major::negative, static_cast<std::uint64_t>(-1 - n));
  }
}

void append_link(std::string& out, std::string_view cid) {
  append_head(out, major::tag, 42);
  append_head(out, major::bytes, cid.size() + 1);
  out += '\0';
  out += cid;
}

}  // namespace recordkv::atproto::cbor
