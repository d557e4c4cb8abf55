// CAR version 1: a bag of blocks with a root, from untrusted bytes.
//
// Owns: the framing, the limits that are checked before anything is allocated, the check of every block against its
// CID.
// Does not know: what blocks hold, trees, signatures. Sources: CARv1 specification, atproto.com sync specification.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstddef>
#include <string_view>
#include <vector>

namespace recordkv::atproto {

struct car_limits {
  std::size_t header = 4096;       ///< bytes of the header
  std::size_t block = 2'097'152;   ///< bytes of one block; records end at 1 MiB, tree nodes may be larger
  std::size_t blocks = 4'000'000;  ///< in one CAR
};

struct car_block {
  std::string_view cid;  ///< binary, 36 bytes, a block CID
  std::string_view data;
};

/// Reads one block after the other: constant memory whatever the size. Views point into the bytes given.
class car_reader {
 public:
  /// Reads the header. errc::malformed with a word: "car_header", "car_version" (2, or its pragma), "no_roots".
  static result<car_reader> open(std::string_view bytes, car_limits limits = {});

  /// The first root, binary. Later roots have no defined meaning and are not kept.
  std::string_view root() const noexcept { return root_; }

  bool done() const noexcept { return rest_.empty(); }

  /// The next block, verified. Only while !done(). errc::malformed: "car_length" (a length of zero, beyond the input
  /// or not minimal), "cid_form" (no CIDv1 of dag-cbor or raw with SHA-256), "cid_mismatch"; errc::too_large.
  result<car_block> next();

 private:
  car_reader(std::string_view rest, std::string_view root, car_limits limits)
      : rest_(rest), root_(root), limits_(limits) {}

  std::string_view rest_;
  std::string_view root_;
  car_limits limits_;
  std::size_t blocks_ = 0;
};

/// A whole CAR, indexed by CID. Borrows the bytes.
class car {
 public:
  static result<car> read(std::string_view bytes, car_limits limits = {});

  std::string_view root() const noexcept { return root_; }

  /// The block's bytes; a view without data() when it is not here. A block may well be empty.
  std::string_view find(std::string_view cid) const noexcept;

  /// Ordered by CID, each once (repeated blocks are legal and collapse).
  const std::vector<car_block>& blocks() const noexcept { return blocks_; }

 private:
  std::string_view root_;
  std::vector<car_block> blocks_;
};

}  // namespace recordkv::atproto
