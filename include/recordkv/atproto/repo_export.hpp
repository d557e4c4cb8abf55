// A whole repo, exported as a CAR by com.atproto.sync.getRepo, from untrusted bytes.
//
// Owns: the check that the export is whole. Every block is what its CID names. The tree is canonical, and has the root
// that the commit names. Every node and every record of the tree is there.
// Does not know: where the bytes come from, which key signs the account's commits, and the store. Pure, and safe on any
// thread.
// Sources: atproto.com specifications "repository" and "sync".
#pragma once

#include "recordkv/atproto/car.hpp"
#include "recordkv/atproto/cid.hpp"
#include "recordkv/atproto/signature.hpp"
#include "recordkv/core/result.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::atproto {

struct exported_record {
  std::string path;       ///< "{nsid}/{rkey}", a valid repo path
  std::string_view cid;   ///< binary, a block CID
  std::string_view data;  ///< the record's block; not judged (json_of() does)
};

class repo_export {
 public:
  /// Reads and checks an export of this account. Does not check the signature.
  ///
  /// errc::malformed with one word: those of car_reader; "commit" (the root is no signed commit of version 3, or its
  /// rev is no TID); "did" (a commit of another account); those of walk_tree.
  /// errc::not_found with one word: the export is torn, as it may be if the repo changed while it was made.
  /// "missing_commit", "missing_node", "missing_record". The same request may succeed later.
  /// errc::too_large: a limit of `limits` is exceeded. Or the keys were chosen to make a tree that is costly to read:
  /// "node" (a node over 256 KiB), "paths" (paths of over four times the bytes of the CAR, and 1 MiB).
  ///
  /// Memory: the CAR, and half as much again for repos of ordinary records. At worst it is ten times the CAR and 100
  /// MB.
  static result<repo_export> read(std::string car, std::string_view did, car_limits limits = {});

  repo_export(repo_export&&) noexcept = default;
  repo_export& operator=(repo_export&&) noexcept = default;

  const std::string& rev() const noexcept { return rev_; }
  /// CID of the tree's root, and of the commit, as text.
  const std::string& data() const noexcept { return data_; }
  const std::string& commit() const noexcept { return commit_; }
  /// Whether the commit is signed with this key.
  bool signed_by(const public_key& key) const noexcept { return key.verifies(signed_digest_, signature_); }

  /// In ascending order of path, each path once. The views point into this object.
  const std::vector<exported_record>& records() const noexcept { return records_; }
  std::size_t car_bytes() const noexcept { return car_->size(); }

 private:
  repo_export() = default;

  std::unique_ptr<const std::string> car_;  // on the heap, so that views stay valid when the object moves
  std::string rev_, data_, commit_, signature_;
  digest signed_digest_{};
  std::vector<exported_record> records_;
};

}  // namespace recordkv::atproto
