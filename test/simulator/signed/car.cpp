#include "car.hpp"

#include "../cbor_writer.hpp"

namespace recordkv::sim {
namespace {

void append_varint(std::string& out, std::size_t n) {
  for (; n >= 0x80; n >>= 7) out += static_cast<char>(0x80 | (n & 0x7f));
  out += static_cast<char>(n);
}

}  // namespace

std::string car_header(const cid& root) {
  cbor_writer w;
  w.map(2);
  w.text("roots"), w.array(1), w.link(root);
  w.text("version"), w.integer(1);
  std::string out;
  append_varint(out, w.bytes().size());
  return out.append(w.bytes());
}

void append_section(std::string& car, const cid& name, std::string_view bytes) {
  constexpr std::size_t cid_size = 36;
  append_varint(car, cid_size + bytes.size());
  name.append_binary(car);
  car += bytes;
}

}  // namespace recordkv::sim
