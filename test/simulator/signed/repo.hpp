// One account's repo, and how a commit changes it.
//
// Owns: the signed commit, the ops of a change with what was there before, the CAR that proves it.
// Does not know: why anything is signed, the stream, faults.
#pragma once

#include "keys.hpp"
#include "tree.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::sim {

/// What a commit is to do at one path. No path twice in a commit.
struct change {
  std::string path;
  record_ptr value;  ///< null: remove
};

/// What a commit did there.
struct repo_op {
  std::string path;
  std::optional<sim::cid> cid;   ///< none: deleted
  std::optional<sim::cid> prev;  ///< none: created
};

struct repo {
  tree records;
  sim::cid data;             ///< the root of `records`
  std::uint64_t rev = 0;     ///< 0: there is no commit yet
  sim::cid commit;           ///< CID of `commit_block`
  std::string commit_block;  ///< signed
};

struct commit_author {
  std::string_view did;
  sim::curve curve = sim::curve::k256;
  signing_key key;
  bool high_s = false;      ///< writes the signature in its other form
  bool names_prev = false;  ///< bridged accounts name the commit before
};

struct committed {
  repo after;
  std::vector<repo_op> ops;
};

/// `before` with the changes, each of which must change something. `before` itself stays as it is.
committed commit(const repo& before, std::span<const change> changes, std::uint64_t rev, const commit_author& author);

/// The CAR of a commit message: the commit, the nodes that prove the changes, the new records.
std::string car_of_changes(const repo& after, std::span<const change> changes);
/// A CAR with the commit only, as #sync has it.
std::string car_of_commit(const repo& r);
/// Everything. `reversed`: the commit last, parents after children; readers may not care. `torn`: a block is missing.
std::string car_of_repo(const repo& r, bool reversed, bool torn = false);
/// The commit, the way to the path, and the record if it is there.
std::string car_of_record(const repo& r, std::string_view path);

}  // namespace recordkv::sim
