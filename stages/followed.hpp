// Which frames anybody follows: what ingest may drop before the buffer.
//
// Owns: the wanted collections, and which accounts have begun.
// Refuses to know: where accounts are read from, and what happens to a frame. Pure.
//
// With a collection filter an account begins with its first commit that touches a wanted collection; from then on every
// commit of it passes whole, because the chain of commits needs it. As long as it is not known who has begun (`certain`
// is false: an earlier run's frames still stand in the buffer, or bucket `repo` is still being read), nothing is
// dropped, and whoever passes counts as begun: more may pass than is needed, never less.
#pragma once

#include "begun_accounts.hpp"
#include "recordkv/atproto/event.hpp"

#include <string>
#include <vector>

namespace recordkv::stages {

class followed {
 public:
  followed(std::vector<std::string> collections, bool chained);

  /// `chained`: commits of accounts that have begun pass whole (firehose); Jetstream's events stand alone.
  bool wants(const atproto::frame_summary& g);

  /// Accounts known to have begun; those that begin here are added by wants().
  account_set& begun() noexcept { return begun_; }
  void certain(bool yes) noexcept { certain_ = yes; }
  bool is_certain() const noexcept { return certain_ || everything_; }
  bool everything() const noexcept { return everything_; }
  std::size_t accounts() const noexcept { return begun_.size(); }

 private:
  std::vector<std::string> collections_;
  bool chained_;
  bool everything_;
  bool certain_ = false;
  account_set begun_;
};

}  // namespace recordkv::stages
