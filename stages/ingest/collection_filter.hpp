// Which frames are wanted: what ingest may drop before the buffer.
//
// Owns: the wanted collections, and which accounts have begun.
// Does not know: where accounts are read from, and what happens to a frame. Pure.
//
// With a collection filter, an account begins with its first commit that touches a wanted collection. From then on all
// its commits pass, because the chain of commits needs them. The list of accounts is not certain while frames of an
// earlier run stand in the buffer, or while bucket `repo` is being read. Until it is, nothing is dropped, and every
// account that passes counts as begun: more may pass than is needed, never less.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/kv/known_accounts.hpp"

#include <string>
#include <vector>

namespace recordkv::stages {

class collection_filter {
 public:
  /// `chained`: the source has whole commits (firehose), and all commits of an account that has begun pass. Otherwise
  /// events stand alone (Jetstream).
  collection_filter(std::vector<std::string> collections, bool chained);

  bool wants(const atproto::frame_summary& g);

  /// The accounts that have begun. wants() adds those that begin here.
  kv::known_accounts& known() noexcept { return known_; }
  void certain(bool yes) noexcept { certain_ = yes; }
  bool is_certain() const noexcept { return certain_ || everything_; }
  bool everything() const noexcept { return everything_; }
  std::size_t accounts() const noexcept { return known_.size(); }

 private:
  std::vector<std::string> collections_;
  bool chained_;
  bool everything_;
  bool certain_ = false;
  kv::known_accounts known_;
};

}  // namespace recordkv::stages
