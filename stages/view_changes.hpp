// From messages of the store to changes of a view.
//
// Owns: what is a record of this view, and what of it has been folded in before (docs/invariants.md X21).
// Refuses to know: databases, and when something is settled. Pure.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/nats/message.hpp"
#include "recordkv/view/store.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::stages {

struct fresh_changes {
  std::vector<view::change> changes;
  std::uint64_t last = 0;  ///< the highest stream sequence in the batch, whatever became of its message
};

/// Up to where every one of these partitions has been folded in; 0 for one that never was.
std::uint64_t lowest_of(const view::position& at, const std::vector<std::string>& labels);

/// `prefix`: "$KV.{bucket}.". Counts left_out{not_a_record} and skipped{older}.
fresh_changes changes_of(const std::vector<nats::message>& batch, std::string_view prefix, std::string_view collection,
                         const view::position& at, meters& counters);

}  // namespace recordkv::stages
