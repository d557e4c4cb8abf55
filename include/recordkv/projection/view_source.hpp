// Where the rows of a view come from in NATS: the records of the store, or the accounts' states in bucket `repo`.
//
// Owns: all that differs between the two: stream, subjects, and how a key is read.
// Does not know: plans beyond their collections, values, positions. Pure.
#pragma once

#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/kv/store_names.hpp"
#include "recordkv/view/plan.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::projection {

class view_source {
 public:
  view_source(view::source of, const kv::store_names& names, unsigned partitions);

  const std::string& stream() const noexcept { return stream_; }

  /// The stream, as it was opened.
  const nats::stream_state& state_in(const kv::opened_store& store) const noexcept;

  /// Subjects that cover everything the plan wants of these partitions; `labels` "*" alone means all. The filter of an
  /// exact collection must not match a longer NSID. Other filters may match more than is wanted; key_of() and
  /// plan::wants() tell.
  std::vector<std::string> subjects(const view::plan& p, const std::vector<std::string>& labels) const;

  /// The key, if it is the only valid key of its record or account. An account has neither collection nor rkey.
  std::optional<kv::record_key> key_of(std::string_view subject) const;

  /// The key that an AT-URI names, as the rejects of a view hold it: "at://did/collection/rkey", or "at://did" for an
  /// account. nullopt: it names nothing of this source.
  std::optional<kv::record_key> key_of_uri(std::string_view uri) const;
  std::string subject_of(const kv::record_key& key) const;

  /// The reason under which a message is counted whose subject is no key. Empty: it is expected, and not counted.
  std::string_view stray() const noexcept;

  struct traits;

 private:
  const traits* of_;
  std::string stream_;
  std::string prefix_;  // "$KV.{bucket}."
  unsigned partitions_;
};

}  // namespace recordkv::projection
