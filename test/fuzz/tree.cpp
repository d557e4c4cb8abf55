// Any nodes as a tree, and any ops on it. A tree that a walk accepts comes back from its leaves; undone ops lead to the
// tree of the leaves before.
//
// The input: a count of ops; each op as its kind, the length of its path, and the path; then blocks, each behind a
// length of two bytes. The first block is the root. A link whose digest begins with the number of a later block
// becomes a link to it, so that a changed block stays in its tree.
#include "recordkv/atproto/tree.hpp"
#include "property.hpp"

#include <map>
#include <string>
#include <vector>

using namespace recordkv;
using namespace recordkv::atproto;

namespace {

constexpr std::size_t max_input_blocks = 64;
const std::string link_begin = "\x01\x71\x12\x20";

class input {
 public:
  explicit input(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }
  unsigned byte() { return static_cast<unsigned char>(take(1).empty() ? 0 : last_); }
  std::string_view take(std::size_t n) {
    const auto out = rest_.substr(0, n);
    rest_.remove_prefix(out.size());
    if (!out.empty()) last_ = out.back();
    return out;
  }

 private:
  std::string_view rest_;
  char last_ = 0;
};

struct wanted_op {
  unsigned kind;
  std::string path;
};

std::vector<wanted_op> read_ops(input& in) {
  std::vector<wanted_op> out;
  for (auto n = in.byte() % 16; n > 0; --n) {
    const auto kind = in.byte();
    out.push_back({kind, std::string(in.take(in.byte()))});
  }
  return out;
}

/// Blocks with their links put in, from the last to the first.
std::vector<std::string> read_blocks(input& in) {
  std::vector<std::string> blocks;
  while (!in.done() && blocks.size() < max_input_blocks) {
    const auto high = in.byte();
    blocks.emplace_back(in.take(high << 8 | in.byte()));
  }
  std::vector<std::string> cids(blocks.size());
  for (auto i = blocks.size(); i-- > 0;) {
    auto& block = blocks[i];
    for (auto at = block.find(link_begin); at != block.npos; at = block.find(link_begin, at + 1)) {
      if (at + block_cid_size > block.size()) break;
      const auto number = static_cast<unsigned char>(block[at + 4]);
      if (number > i && number < blocks.size()) block.replace(at, block_cid_size, cids[number]);
    }
    cids[i] = cid_of(block);
  }
  return blocks;
}

std::string length_prefix(std::size_t n) {
  std::string out;
  for (; n >= 0x80; n >>= 7) out += static_cast<char>(n | 0x80);
  return out + static_cast<char>(n);
}

std::string car_of(const std::vector<std::string>& blocks) {
  const auto header =
      cbor_of_json(fmt::format(R"({{"roots":[{{"$link":"{}"}}],"version":1}})", cid_text_of(blocks[0])));
  auto out = length_prefix(header->size()) + *header;
  for (const auto& b : blocks) out += length_prefix(block_cid_size + b.size()) + cid_of(b) + b;
  return out;
}

using leaf_map = std::map<std::string, std::string, std::less<>>;

std::string root_of(const leaf_map& leaves) {
  std::vector<tree_leaf> list;
  for (const auto& [path, cid] : leaves) list.push_back({path, cid});
  return tree_root(list);
}

/// Ops that fit these leaves, and the leaves before them.
std::vector<op_view> fitting_ops(const std::vector<wanted_op>& wanted, const leaf_map& after, leaf_map& before) {
  static const std::string old = cid_of("the record before");
  before = after;
  std::map<std::string_view, op_view> ops;
  for (const auto& [kind, path] : wanted) {
    if (path.empty() || ops.contains(path)) continue;
    const auto at = after.find(path);
    if (at == after.end()) {
      ops[path] = {action::remove, path, {}, old};
      before[path] = old;
    } else if (kind % 2 == 0) {
      ops[path] = {action::create, path, at->second, {}};
      before.erase(path);
    } else {
      ops[path] = {action::update, path, at->second, old};
      before[path] = old;
    }
  }
  std::vector<op_view> out;
  for (const auto& [path, op] : ops) out.push_back(op);
  return out;
}

void demand_right(const car& blocks, const std::vector<op_view>& ops, const leaf_map* before) {
  for (const auto keys : {tree_keys::any, tree_keys::paths}) {
    const auto proof = prove_ops(blocks, blocks.root(), ops, keys);
    DEMAND(proof.before.empty() != proof.before_flaw.empty());
    DEMAND(proof.ops_flaw.empty() || !proof.before_flaw.empty());
    if (before == nullptr || keys == tree_keys::paths) continue;
    DEMAND(proof.ops_flaw.empty() && proof.before_flaw.empty());
    DEMAND(proof.before == root_of(*before));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  input in(fuzz::text(data, size));
  const auto wanted = read_ops(in);
  const auto made = read_blocks(in);
  if (made.empty()) return 0;
  const auto bytes = car_of(made);
  const auto blocks = car::read(bytes);
  DEMAND(blocks.has_value());

  leaf_map after, before;
  std::string last;
  const auto walked = walk_tree([&](std::string_view cid) { return blocks->find(cid); }, blocks->root(), tree_keys::any,
                                [&](std::string_view path, std::string_view cid) {
                                  DEMAND(path > last && is_block_cid(cid));
                                  after[last = path] = cid;
                                });
  const auto ops = fitting_ops(wanted, after, before);
  demand_right(*blocks, ops, walked ? &before : nullptr);
  if (walked) DEMAND(root_of(after) == blocks->root());
  return 0;
}
