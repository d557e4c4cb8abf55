// What becomes of each key of a batch, the same in both databases.
//
// Owns: which of several changes of a key counts, in which order keys are written, and what a refusal makes of a key.
// Does not know: statements, connections. Pure.
#pragma once

#include "recordkv/view/store.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace recordkv::view {

/// The members of a change that hold plan::key_columns(), in their order.
std::span<std::string change::* const> key_members(const plan& p) noexcept;

/// A key gets rows, or it gets none, with or without a reject.
struct row_outcome {
  const change* of = nullptr;
  std::size_t rows = 0;
  std::string rejection_reason;
  bool had = false;   ///< PostgreSQL, plans with hooks: the key has rows so far
  bool hooks = true;  ///< the plan's hooks run for it

  /// The database refused the record. It becomes a reject: its older rows go, and on_delete is run.
  /// If that is refused as well, they go without it. False: there is nothing left to give up.
  bool reject(std::string why);
};
using row_outcomes = std::vector<row_outcome>;

/// What the record itself asks for.
row_outcome outcome_of(const plan& p, const change& c);

/// The last change of each key, in the order of the keys, so that neighbours meet the same page of a table. With hooks,
/// which may read other keys, in the order of the store. In bulk all changes, as they come. Collections that the plan
/// does not want are skipped.
row_outcomes outcomes_of(const plan& p, const std::vector<change>& changes, bool bulk);

}  // namespace recordkv::view
