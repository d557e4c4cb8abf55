// Any bytes as the export of a repo; and the same bytes with right CIDs, so that a changed block stays in its repo.
// What is accepted is whole: its records make up the tree that its commit names, and none of them may be left out.
//
// The input is a CAR. For the second reading its bytes are cut where it says, and each block gets its right CID. A link
// that names a later block by its old CID becomes a link to that block. The first block is the root.
#include "property.hpp"
#include "recordkv/atproto/frame.hpp"
#include "recordkv/atproto/repo_export.hpp"
#include "recordkv/atproto/tree.hpp"

#include <map>
#include <string>
#include <vector>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

constexpr std::size_t max_input_blocks = 256;
constexpr std::string_view link_begin = "\x01\x71\x12\x20";

/// Takes what stands behind a length off the front, as far as it is there.
std::string_view take_section(std::string_view& rest) {
  std::size_t length = 0;
  for (unsigned shift = 0; shift < 28 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    length |= std::size_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) break;
  }
  const auto out = rest.substr(0, length);
  rest.remove_prefix(out.size());
  return out;
}

/// Blocks with their links put in, from the last to the first.
std::vector<std::string> read_blocks(std::string_view bytes) {
  take_section(bytes);  // the header
  std::vector<std::string_view> sections;
  while (!bytes.empty() && sections.size() < max_input_blocks) sections.push_back(take_section(bytes));
  std::vector<std::string> blocks(sections.size());
  std::map<std::string_view, std::string> renamed;
  for (auto i = sections.size(); i-- > 0;) {
    const auto old = sections[i].substr(0, block_cid_size);
    auto& block = blocks[i] = sections[i].substr(old.size());
    for (auto at = block.find(link_begin); at != block.npos; at = block.find(link_begin, at + 1)) {
      const auto now = renamed.find(std::string_view(block).substr(at, block_cid_size));
      if (now != renamed.end()) block.replace(at, now->first.size(), now->second);
    }
    if (old.size() == block_cid_size) renamed[old] = cid_of(block);
  }
  return blocks;
}

std::string length_prefix(std::size_t n) {
  std::string out;
  for (; n >= 0x80; n >>= 7) out += static_cast<char>(n | 0x80);
  return out + static_cast<char>(n);
}

/// The CAR of these blocks without the one of this CID.
std::string car_of(const std::vector<std::string>& blocks, std::string_view left_out = {}) {
  const auto header =
      cbor_of_json(fmt::format(R"({{"roots":[{{"$link":"{}"}}],"version":1}})", cid_text_of(blocks[0])));
  auto out = length_prefix(header->size()) + *header;
  for (const auto& b : blocks) {
    if (const auto cid = cid_of(b); cid != left_out) out += length_prefix(block_cid_size + b.size()) + cid + b;
  }
  return out;
}

void demand_whole(const repo_export& read) {
  DEMAND(is_tid(read.rev()) && cid_from_text(read.commit()).has_value());
  std::vector<tree_leaf> leaves;
  for (const auto& r : read.records()) {
    const auto slash = r.path.find('/');
    DEMAND(slash != r.path.npos && is_nsid(r.path.substr(0, slash)) && is_rkey(r.path.substr(slash + 1)));
    DEMAND(leaves.empty() || leaves.back().path < r.path);
    DEMAND(names(r.cid, r.data));
    leaves.push_back({r.path, std::string(r.cid)});
  }
  DEMAND(cid_text(tree_root(leaves)) == read.data());
}

/// The account that the commit names. With it, reading gets past the commit.
std::string author_of(std::string_view bytes) {
  const auto blocks = car::read(bytes);
  if (!blocks) return {};
  const auto commit = read_signed_commit(blocks->find(blocks->root()));
  return commit ? std::string(commit->did) : std::string{};
}

result<repo_export> read_sound(const std::string& bytes) {
  const auto did = author_of(bytes);
  auto read = repo_export::read(bytes, did);
  if (read) {
    demand_whole(*read);
    DEMAND(repo_export::read(bytes, did + "a").error().text == "did");
  } else {
    DEMAND(fuzz::printable(read.error().text) && !read.error().text.empty());
  }
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::text(data, size);
  read_sound(std::string(bytes));
  const auto blocks = read_blocks(bytes);
  if (blocks.empty()) return 0;
  const auto read = read_sound(car_of(blocks));
  if (!read || read->records().empty()) return 0;
  const auto& record = read->records()[size % read->records().size()];
  const auto torn = read_sound(car_of(blocks, record.cid));
  DEMAND(!torn && torn.error().code == errc::not_found);
  return 0;
}
