// From messages of the store to changes of a view.
//
// Owns: what is a record of this view, and what of it has been folded in before (docs/invariants.md X21); the subjects
// that a view wants. Refuses to know: databases, and when something is settled. Pure.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/nats/message.hpp"
#include "recordkv/view/store.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::projection {

/// What is the same for every message of a view. The plan outlives it.
struct view_reading {
  view_reading(const view::plan& p, std::string subject_prefix, unsigned number_of_partitions);

  const view::plan& plan;
  std::string prefix;  ///< "$KV.{bucket}."
  unsigned partitions;
  bool headers;  ///< the plan looks at a record's cid, rev or time
};

struct fresh_changes {
  std::vector<view::change> changes;
  std::uint64_t last = 0;  ///< the highest stream sequence among the messages, whatever became of them
};

/// Up to where every one of these partitions has been folded in; 0 for one that never was.
std::uint64_t lowest_of(const view::position& at, const std::vector<std::string>& labels);

/// Subjects that hold everything the plan wants of these partitions; `labels` "*" alone means all. An exact
/// collection's catches no longer NSID. A prefix's may catch more than is wanted, which changes_of() leaves out.
std::vector<std::string> subjects_of(const view::plan& p, std::string_view prefix,
                                     const std::vector<std::string>& labels);

/// The changes of messages [from, to), in their order. Left out and counted: keys that are no record's, or are written
/// in another form than ours, so that a record has one key only (left_out{not_a_record}); what `at` says is known
/// (skipped{older}).
fresh_changes changes_of(const view_reading& how, const nats::message* from, const nats::message* to,
                         const view::position& at, meters& counters);

}  // namespace recordkv::projection
