// From messages of the store to changes of a view.
//
// Owns: which messages are records of this view, and which of them are in the table already (docs/invariants.md X21);
// the subjects that a view wants.
// Does not know: databases, and when something is settled. Pure.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/nats/message.hpp"
#include "recordkv/view/store.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::projection {

/// What is the same for every message of a view. The plan must outlive it.
struct view_reading {
  view_reading(const view::plan& p, std::string subject_prefix, unsigned number_of_partitions);

  const view::plan& plan;
  std::string prefix;  ///< "$KV.{bucket}."
  unsigned partitions;
  bool headers;  ///< the plan looks at a record's cid, rev or time
};

struct fresh_changes {
  std::vector<view::change> changes;
  std::uint64_t last = 0;  ///< the highest stream sequence among the messages, skipped ones included
};

/// The sequence up to which all of these partitions have been applied; 0 if one never was.
std::uint64_t lowest_of(const view::position& at, const std::vector<std::string>& labels);

/// Subjects that cover everything the plan wants of these partitions; `labels` "*" alone means all. The filter of an
/// exact collection must not match a longer NSID. The filter of a prefix may match more than is wanted; changes_of()
/// skips that.
std::vector<std::string> subjects_of(const view::plan& p, std::string_view prefix,
                                     const std::vector<std::string>& labels);

/// The changes of messages [from, to), in their order. Keys that are not a record's, or have another form than
/// recordkv's, are skipped and counted (skipped{not_a_record}): a record has one key only. So are changes that `at`
/// already contains (ignored{older}).
fresh_changes changes_of(const view_reading& how, const nats::message* from, const nats::message* to,
                         const view::position& at, meters& counters);

}  // namespace recordkv::projection
