// Lengths first, then CIDs, then bytes.
//
// Owns: the walk over sections. A length is used only after it has been compared with the rest of the input.
// Does not know: what a root means.
#include "recordkv/atproto/car.hpp"

#include "recordkv/atproto/cbor.hpp"
#include "recordkv/atproto/cid.hpp"

#include <algorithm>
#include <cstdint>

namespace recordkv::atproto {

namespace {

/// Takes a length off the front: unsigned LEB128, shortest form, never 0, never more than what follows it.
bool take_length(std::string_view& s, std::size_t& length) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 9 && i < s.size(); ++i) {
    const auto byte = static_cast<unsigned char>(s[i]);
    value |= std::uint64_t{byte & 0x7Fu} << (7 * i);
    if ((byte & 0x80) != 0) continue;
    if (byte == 0) return false;  // zero, or padded with zeros
    if (value > s.size() - i - 1) return false;
    length = value;
    s.remove_prefix(i + 1);
    return true;
  }
  return false;
}

/// {"roots": [cid…], "version": 1}; unknown fields are skipped.
result<std::string_view> read_header(std::string_view header) {
  cbor::reader r(header);
  if (r.next() != cbor::kind::map) return fail(errc::malformed, "car_header");
  std::string_view root;
  bool has_roots = false;
  std::int64_t version = 0;
  for (auto fields = r.count(); fields != 0; --fields) {
    r.next();
    const auto key = r.view();
    r.next();
    if (key == "version" && r.what() == cbor::kind::integer) {
      version = r.integer();
    } else if (key == "roots" && r.what() == cbor::kind::array) {
      has_roots = true;
      for (auto n = r.count(); n != 0; --n) {
        if (r.next() != cbor::kind::link) return fail(errc::malformed, "car_header");
        if (root.empty()) root = r.view();
      }
    } else if (!r.skip()) {
      return fail(errc::malformed, "car_header");
    }
  }
  if (r.next() != cbor::kind::end) return fail(errc::malformed, "car_header");
  if (version != 1) return fail(errc::malformed, "car_version");
  if (!has_roots) return fail(errc::malformed, "car_header");
  if (root.empty()) return fail(errc::malformed, "no_roots");
  return root;
}

}  // namespace

result<car_reader> car_reader::open(std::string_view bytes, car_limits limits) {
  std::size_t length = 0;
  if (!take_length(bytes, length)) return fail(errc::malformed, "car_header");
  if (length > limits.header) return fail(errc::too_large, "car_header");
  const auto root = read_header(bytes.substr(0, length));
  if (!root) return root.error();
  return car_reader(bytes.substr(length), *root, limits);
}

result<car_block> car_reader::next() {
  std::size_t length = 0;
  if (!take_length(rest_, length)) return fail(errc::malformed, "car_length");
  if (length > limits_.block + block_cid_size) return fail(errc::too_large, "car_block");
  if (++blocks_ > limits_.blocks) return fail(errc::too_large, "car_blocks");
  const auto section = rest_.substr(0, length);
  const car_block block{section.substr(0, block_cid_size), section.substr(std::min(length, block_cid_size))};
  if (!is_block_cid(block.cid)) return fail(errc::malformed, "cid_form");
  if (!names(block.cid, block.data)) return fail(errc::malformed, "cid_mismatch");
  rest_.remove_prefix(length);
  return block;
}

result<car> car::read(std::string_view bytes, car_limits limits) {
  auto reader = car_reader::open(bytes, limits);
  if (!reader) return reader.error();
  car out;
  out.root_ = reader->root();
  out.blocks_.reserve(16);
  while (!reader->done()) {
    const auto block = reader->next();
    if (!block) return block.error();
    out.blocks_.push_back(*block);
  }
  std::ranges::sort(out.blocks_, {}, &car_block::cid);
  const auto repeated = std::ranges::unique(out.blocks_, {}, &car_block::cid);
  out.blocks_.erase(repeated.begin(), repeated.end());
  return out;
}

std::string_view car::find(std::string_view cid) const noexcept {
  const auto at = std::ranges::lower_bound(blocks_, cid, {}, &car_block::cid);
  return at != blocks_.end() && at->cid == cid ? at->data : std::string_view{};
}

}  // namespace recordkv::atproto
