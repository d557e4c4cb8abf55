// Which frames anybody follows: what ingest may drop before the buffer.
//
// Owns: the wanted collections, and 64-bit hashes of the accounts that have begun (a false positive only costs a frame).
// Refuses to know: where accounts are read from, and what happens to a frame. Pure.
//
// With a collection filter an account begins with its first commit that touches a wanted collection; from then on every
// commit of it passes whole, because the chain of commits needs it. As long as it is not known who has begun (`certain`
// is false: an earlier run's frames still stand in the buffer, or bucket `repo` is still being read), nothing is dropped.
#pragma once

#include "recordkv/atproto/event.hpp"

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

namespace recordkv::stages {

class followed {
 public:
  followed(std::vector<std::string> collections, bool chained);

  /// `chained`: commits of accounts that have begun pass whole (firehose); Jetstream's events stand alone.
  bool wants(const atproto::glance& g);

  /// An account known to have begun, as enc(did), the last token of its key in bucket `repo`.
  void begun(std::string_view encoded_did) { begun_.insert(hash(encoded_did)); }
  void certain(bool yes) noexcept { certain_ = yes; }
  bool is_certain() const noexcept { return certain_ || everything_; }
  bool everything() const noexcept { return everything_; }
  std::size_t accounts() const noexcept { return begun_.size(); }

 private:
  static std::uint64_t hash(std::string_view s) noexcept;

  std::vector<std::string> collections_;
  bool chained_;
  bool everything_;
  bool certain_ = false;
  std::unordered_set<std::uint64_t> begun_;
};

}  // namespace recordkv::stages
