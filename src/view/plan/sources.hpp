// What a view may have rows of: one row each.
//
// Owns: how a view file names a source, the key of its rows, and what is known of a row beside its JSON.
// Does not know: where the JSON is kept (projection/view_source.hpp).
#pragma once

#include "recordkv/view/plan.hpp"

#include <span>
#include <string_view>

namespace recordkv::view {

struct source_traits {
  source of;
  std::string_view name;                    ///< the value of `source`; records are named by their collections instead
  std::string_view one;                     ///< "a record", for messages
  std::string_view value;                   ///< what its JSON is called: "record"
  std::span<const std::string_view> key;    ///< the columns that say what a row is of, `did` first
  std::span<const std::string_view> facts;  ///< what is known beside the JSON: of `value`, hooks and tests
  std::string_view facts_in_words;          ///< "did, rkey or time", for messages
  bool extracts;                            ///< `extract` makes sense
};

const source_traits& traits_of(source s) noexcept;

/// True if this fact is known of such a row.
bool has_fact(source s, std::string_view fact) noexcept;

}  // namespace recordkv::view
