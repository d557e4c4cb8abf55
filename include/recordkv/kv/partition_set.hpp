// The partitions that one process takes: all of a store's, or some.
//
// Owns: how a set is written ("0-7,a"), its canonical form, the names made from it, overlap (docs/invariants.md X7).
// Does not know: which process takes which partitions.
#pragma once

#include "recordkv/core/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

class partition_set {
 public:
  /// "all", or labels and ranges of labels as in keys. errc::bad_config names the part that is not a partition of a
  /// store with `partitions` partitions. A list that names every partition is "all".
  static result<partition_set> parse(std::string_view text, unsigned partitions);

  /// The set in a `name` that was made as base + suffix(); nullopt if it was not.
  static std::optional<partition_set> of_name(std::string_view name, std::string_view base, unsigned partitions);

  bool all() const noexcept { return all_; }
  /// In the order of partition_labels().
  const std::vector<std::string>& labels() const noexcept { return labels_; }
  /// The end of names of durables and leases: "" for all, "-0-7_a" for "7,0-6,a".
  const std::string& suffix() const noexcept { return suffix_; }
  bool overlaps(const partition_set& other) const;

 private:
  std::vector<std::string> labels_;
  std::string suffix_;
  bool all_ = false;
};

}  // namespace recordkv::kv
