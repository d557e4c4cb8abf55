// What was applied to an account while its repo was being fetched.
//
// Commits go on being applied meanwhile. So an export may be older than the store in some records. The journal tells
// which, and whether the commits since the export lead from the export's tree to the one in the account's state.
//
// Owns: those commits, and the bound on them.
// Does not know: the export's records, and the store. Pure.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace recordkv::stages {

class commit_journal {
 public:
  struct commit {
    std::string rev, data, prev_data;  ///< data and prev_data are empty if the source carries no proofs
    std::vector<std::string> paths;    ///< "{collection}/{rkey}" that it put or deleted
  };

  /// `seen`: the newest rev that was applied or seen when the fetch began. `rev` and `data`: where the account stood.
  commit_journal(std::string seen, std::string rev, std::string data)
      : needed_(std::move(seen)), rev_(std::move(rev)), data_(std::move(data)) {}

  /// A commit, or a #sync without paths, was applied. Revs must not fall.
  void add(commit c);
  /// Something of this rev or an earlier one is not in the store: only an export of at least this rev makes up for it.
  /// An empty rev: it is not known of which rev, so no export that was asked for before now does.
  void need(std::string_view rev);

  /// How the store continues after an export.
  struct continuation {
    std::string rev, data;                  ///< of the account, once the export and the commits after it are applied
    std::unordered_set<std::string> newer;  ///< paths in which the store is newer than the export
  };
  /// errc::cursor_stale  "stale": the export is older than what is known of the account (X12).
  /// errc::mismatch      "faulty_host": the export has another tree than the commit of the same rev.
  /// errc::conflict      "changed": the account changed in a way that this export does not make up for. A new one may.
  result<continuation> after(std::string_view rev, std::string_view data) const;

 private:
  static constexpr std::size_t max_paths = 20'000;

  std::string needed_;
  std::string rev_, data_;  // at the start; `data` may be unknown
  std::vector<commit> commits_;
  std::size_t paths_ = 0;
  bool spoiled_ = false;  // no export makes up for it
};

}  // namespace recordkv::stages
