// The periods in which a source may have lost events: key `gap.{source}` beside the cursor.
//
// Owns: the key's form (a JSON list, oldest first, bounded) and its compare-and-set.
// Does not know: how a gap is noticed (firehose/continuity.hpp) and how it is repaired.
#pragma once

#include "recordkv/core/source_gap.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_names.hpp"

#include <string>
#include <vector>

namespace recordkv::kv {

class source_gaps {
 public:
  static constexpr std::string_view prefix = "gap.";
  static constexpr std::size_t max_kept = 16;  ///< beyond it the two oldest are merged

  struct gap {
    std::string cause, from, to, seen;  ///< RFC 3339; empty: not known
    std::uint64_t from_seq = 0, to_seq = 0;
    double seconds() const;
  };

  source_gaps(nats::connection& nc, const store_names& names, const std::string& source)
      : bucket_(nc, names.cursor()), key_(std::string(prefix) + source) {}

  const std::string& key() const noexcept { return key_; }
  const std::vector<gap>& all() const noexcept { return gaps_; }
  double seconds() const;

  /// Reads the key again: a person may have deleted it.
  task<result<void>> read();
  /// Adds a gap, or replaces the gap that begins at the same position; `none` removes that one.
  task<result<void>> note(const source_gap& found);

  static std::vector<gap> parse(std::string_view json);
  static std::string text_of(const std::vector<gap>& gaps);

 private:
  void apply(const source_gap& found);

  bucket bucket_;
  std::string key_;
  std::vector<gap> gaps_;
  std::uint64_t seq_ = 0;
};

}  // namespace recordkv::kv
