// A CAR, its commit, its tree and its records, put together.
//
// Owns: the order of the checks, the bound of what the paths may take, and the views into the bytes of the CAR.
// Does not know: the form of a CAR (car.cpp), of a commit (frame.cpp) and of a tree (tree_walk.cpp).
#include "recordkv/atproto/repo_export.hpp"

#include "proof.hpp"
#include "recordkv/atproto/frame.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/atproto/tree.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <optional>

namespace recordkv::atproto {

namespace {

/// Bytes of all paths together. A node leaves out what a key shares with the key before it, so a small tree may name
/// many long paths. But the first key of each node stands in full, and that is every fourth key unless the keys were
/// chosen to avoid it. An honest repo stays below this, whatever the length of its paths.
constexpr std::size_t max_path_bytes(std::size_t car_bytes) { return 4 * car_bytes + (std::size_t{1} << 20); }

/// Bytes of a node. While it is open, its keys are kept in full. A node has three keys on average, and by chance none
/// has a hundred.
constexpr std::size_t max_node = 262'144;

/// Commits, nodes and records have CIDs of this form only.
bool is_dag_cbor(std::string_view cid) { return is_block_cid(cid) && cid[1] == static_cast<char>(codec::dag_cbor); }

/// The blocks of a CAR by CID. A repeated block stays in the index, because it does no harm there.
///
/// Class car does the same, but compares whole CIDs, and each comparison waits for memory far away. Here nearly all
/// comparisons end in the index itself. That halves the time of a large export.
class block_index {
 public:
  static result<block_index> read(std::string_view bytes, car_limits limits) {
    auto reader = car_reader::open(bytes, limits);
    if (!reader) return reader.error();
    block_index out;
    out.root_ = reader->root();
    while (!reader->done()) {
      const auto block = reader->next();
      if (!block) return block.error();
      // In a CAR a block stands right behind its CID.
      out.entries_.push_back(
          {digest_start_of(block->cid), {block->cid.data(), block->cid.size() + block->data.size()}});
    }
    out.sort();
    return out;
  }

  std::string_view root() const { return root_; }
  std::size_t size() const { return entries_.size(); }

  std::optional<car_block> find(std::string_view cid) const {
    if (!is_block_cid(cid)) return std::nullopt;
    const entry wanted{digest_start_of(cid), cid};
    const auto bucket = bucket_of(wanted);
    const auto begin = entries_.begin() + starts_[bucket], end = entries_.begin() + starts_[bucket + 1];
    const auto at = std::lower_bound(begin, end, wanted, less);
    if (at == end || cid_in(*at) != cid) return std::nullopt;
    return car_block{cid_in(*at), at->section.substr(block_cid_size)};
  }

 private:
  struct entry {
    std::uint64_t digest_start;
    std::string_view section;  ///< the CID and the block
  };

  static std::uint64_t digest_start_of(std::string_view cid) {
    std::uint64_t start = 0;
    std::memcpy(&start, cid.data() + block_cid_size - sizeof(digest), sizeof start);
    return start;
  }
  static std::string_view cid_in(const entry& e) { return e.section.substr(0, block_cid_size); }
  static bool less(const entry& a, const entry& b) {
    return a.digest_start != b.digest_start ? a.digest_start < b.digest_start : cid_in(a) < cid_in(b);
  }

  // Digests are spread evenly, so a bucket has about eight entries. If a host has chosen them to be alike, a search
  // takes as many steps as in the whole index.
  void sort() {
    std::ranges::sort(entries_, less);
    bits_ = std::clamp(static_cast<int>(std::bit_width(entries_.size())) - 3, 1, 24);
    starts_.assign((std::size_t{1} << bits_) + 1, 0);
    for (const auto& e : entries_) ++starts_[bucket_of(e) + 1];
    std::partial_sum(starts_.begin(), starts_.end(), starts_.begin());
  }
  std::size_t bucket_of(const entry& e) const { return e.digest_start >> (64 - bits_); }

  std::string_view root_;
  std::vector<entry> entries_;
  std::vector<std::uint32_t> starts_;  // of the entries whose digest_start begins with so many bits; and the end
  int bits_ = 1;
};

struct commit_block {
  std::string_view bytes;
  signed_commit fields;
};

result<commit_block> read_commit_block(const block_index& blocks, std::string_view did) {
  if (!is_dag_cbor(blocks.root())) return fail(errc::malformed, "commit");
  const auto block = blocks.find(blocks.root());
  if (!block) return fail(errc::not_found, "missing_commit");
  const auto fields = read_signed_commit(block->data);
  if (!fields || !is_tid(fields->rev) || !is_dag_cbor(fields->data)) return fail(errc::malformed, "commit");
  if (fields->did != did) return fail(errc::malformed, "did");
  return commit_block{block->data, *fields};
}

/// Collects the records of a tree.
class collector {
 public:
  collector(const block_index& blocks, std::size_t path_bytes) : blocks_(blocks), path_bytes_left_(path_bytes) {
    records_.reserve(blocks.size());  // most blocks are records; a block may have several paths
  }

  result<std::vector<exported_record>> collect(std::string_view data) && {
    // The walk knows the empty tree without its block. An export that lacks it is torn all the same.
    if (!blocks_.find(data)) return fail(errc::not_found, "missing_node");
    const auto walked = walk_tree([this](std::string_view cid) { return node(cid); }, data, tree_keys::paths,
                                  [this](std::string_view path, std::string_view cid) { add(path, cid); });
    // A missing record does not end the walk. A flaw of the tree counts for more, because asking again does not help.
    if (flaw_ && (walked || flaw_->code == errc::too_large)) return *flaw_;
    if (!walked) return walked.error();
    return std::move(records_);
  }

 private:
  std::string_view node(std::string_view cid) {
    const auto block = blocks_.find(cid);
    if (!block) return {};
    if (block->data.size() <= max_node) return block->data;
    flaw_ = fail(errc::too_large, "node");
    return {};
  }

  void add(std::string_view path, std::string_view cid) {
    if (flaw_) return;
    const auto block = blocks_.find(cid);
    if (!block) {
      flaw_ = fail(errc::not_found, "missing_record");
    } else if (path.size() > path_bytes_left_) {
      flaw_ = fail(errc::too_large, "paths");
    } else {
      path_bytes_left_ -= path.size();
      records_.push_back({std::string(path), block->cid, block->data});
    }
  }

  const block_index& blocks_;
  std::size_t path_bytes_left_;
  std::vector<exported_record> records_;
  std::optional<error> flaw_;
};

}  // namespace

result<repo_export> repo_export::read(std::string car_bytes, std::string_view did, car_limits limits) {
  repo_export out;
  out.car_ = std::make_unique<const std::string>(std::move(car_bytes));
  const auto blocks = block_index::read(*out.car_, limits);
  if (!blocks) return blocks.error();
  const auto commit = read_commit_block(*blocks, did);
  if (!commit) return commit.error();
  auto records = collector(*blocks, max_path_bytes(out.car_bytes())).collect(commit->fields.data);
  if (!records) return records.error();
  out.records_ = std::move(*records);
  out.rev_ = commit->fields.rev;
  out.data_ = cid_text(commit->fields.data);
  out.commit_ = cid_text(blocks->root());
  auto proof = signature_proof(commit->bytes, commit->fields);
  out.signed_digest_ = proof.signed_digest;
  out.signature_ = std::move(proof.signature);
  return out;
}

}  // namespace recordkv::atproto
