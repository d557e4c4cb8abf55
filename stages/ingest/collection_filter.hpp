// Which frames are wanted: the others are dropped before the buffer.
//
// Owns: the wanted collections, and the known accounts.
// Does not know: where accounts are read from, and what happens to a frame. Pure.
//
// With a collection filter, an account becomes known by its first commit that touches a wanted collection. From then
// on all its commits pass, because the chain of commits needs them. The list of accounts is not certain while frames
// of an earlier run are in the buffer, or while bucket `repo` is being read. Until it is certain, nothing is dropped
// for its account, and every account that passes becomes known: more may pass than is needed, never less.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/kv/known_accounts.hpp"

#include <string>
#include <vector>

namespace recordkv::stages {

class collection_filter {
 public:
  /// `chained`: the source has whole commits (firehose), and all commits of a known account pass. Otherwise each event
  /// is complete by itself (Jetstream).
  collection_filter(std::vector<std::string> collections, bool chained);

  bool wants(const atproto::frame_summary& g);

  /// The known accounts. wants() adds to them.
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
