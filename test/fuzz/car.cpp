// Any bytes as a CAR; and any bytes as the blocks of a CAR that is then read back, whole and with one byte changed.
#include "recordkv/atproto/car.hpp"
#include "property.hpp"
#include "recordkv/atproto/cbor.hpp"

#include <string>
#include <vector>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

void demand_sound(std::string_view bytes) {
  const auto read = car::read(bytes);
  if (!read) return;
  DEMAND(is_cid(read->root()));
  for (const auto& block : read->blocks()) {
    DEMAND(names(block.cid, block.data));
    DEMAND(block.data.empty() || (block.data.data() >= bytes.data() && block.data.end() <= bytes.end()));
    DEMAND(read->find(block.cid) == block.data);
  }
}

std::string length_prefix(std::size_t n) {
  std::string out;
  for (; n >= 0x80; n >>= 7) out += static_cast<char>(n | 0x80);
  return out + static_cast<char>(n);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::text(data, size);
  demand_sound(bytes);
  if (size < 4) return 0;

  // The first two bytes choose what is changed, the third how the rest is cut into blocks. They are few, because
  // find() looks at one after the other.
  const auto cut = std::max<std::size_t>(1 + data[2], size / 64);
  std::vector<std::string_view> blocks;
  for (auto rest = bytes.substr(3); !rest.empty(); rest.remove_prefix(std::min(cut, rest.size()))) {
    blocks.push_back(rest.substr(0, cut));
  }
  const auto header =
      cbor_of_json(fmt::format(R"({{"roots":[{{"$link":"{}"}}],"version":1}})", cid_text_of(blocks[0])));
  auto made = length_prefix(header->size()) + *header;
  for (const auto& b : blocks) made += length_prefix(36 + b.size()) + cid_of(b) + std::string(b);
  const auto read = car::read(made);
  DEMAND(read.has_value());
  DEMAND(read->root() == cid_of(blocks[0]));
  for (const auto& b : blocks) DEMAND(read->find(cid_of(b)) == b);

  made[(data[0] * 256u + data[1]) % made.size()] ^= static_cast<char>(1 << (data[2] & 7));
  demand_sound(made);
  return 0;
}
