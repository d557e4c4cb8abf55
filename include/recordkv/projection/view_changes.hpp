// From messages of the store to changes of a view.
//
// Owns: which messages are of this view, and which of them are in the table already (docs/invariants.md X21).
// Does not know: databases, where a view's rows come from (view_source.hpp), and when something is settled. Pure.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/nats/message.hpp"
#include "recordkv/projection/view_source.hpp"
#include "recordkv/view/store.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::projection {

/// What is the same for every message of a view. The plan must outlive it.
struct view_reading {
  view_reading(const view::plan& p, const kv::store_names& names, unsigned partitions);

  const view::plan& plan;
  view_source from;
  bool headers;  ///< the plan looks at a record's cid, rev or time
};

/// A message as it stands in its stream. The headers are read only where view_reading::headers.
struct stored_value {
  std::string_view cid, rev, time;
  std::string_view json;  ///< empty: a delete marker
  std::uint64_t seq = 0;
};

/// What a message makes of its key.
view::change change_of(const view_reading& how, kv::record_key key, const stored_value& value);

struct fresh_changes {
  std::vector<view::change> changes;
  std::uint64_t last = 0;  ///< the highest stream sequence among the messages, skipped ones included
};

/// The sequence up to which all of these partitions have been applied; 0 if one never was.
std::uint64_t lowest_of(const view::position& at, const std::vector<std::string>& labels);

/// The changes of messages [from, to), in their order. Keys that are not a record's, or have another form than
/// recordkv's, are skipped and counted (skipped{not_a_record}): a record has one key only. So are changes that `at`
/// already contains (ignored{older}).
fresh_changes changes_of(const view_reading& how, const nats::message* from, const nats::message* to,
                         const view::position& at, meters& counters);

}  // namespace recordkv::projection
