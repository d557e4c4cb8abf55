// How the repair after a loss goes on: "1,000 accounts checked, 3 resynced, 17 records differed".
//
// Owns: these numbers since the start, and which accounts are still open.
// Does not know: how an account is marked and repaired. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace recordkv::stages {

class loss_count {
 public:
  struct numbers {
    std::uint64_t checked = 0;   ///< accounts that are no longer marked
    std::uint64_t resynced = 0;  ///< of these, those whose repo was fetched
    std::uint64_t differed = 0;  ///< records that were put or deleted then
  };

  /// The account is marked because of a loss. Again: no effect.
  void open(std::string_view did) { open_.insert(std::hash<std::string_view>{}(did)); }
  /// The account is not marked, or no longer. Returns the line for the log if it was the last one that was.
  std::string close(std::string_view did);
  void resynced() noexcept { ++now_.resynced; }
  void differed(std::uint64_t records) noexcept { now_.differed += records; }

  const numbers& now() const noexcept { return now_; }
  std::size_t waiting() const noexcept { return open_.size(); }
  /// "1000 accounts checked, 3 resynced, 17 records differed"
  std::string text() const;

 private:
  numbers now_;
  std::unordered_set<std::size_t> open_;  // hashes of DIDs: two accounts with one hash count as one
};

}  // namespace recordkv::stages
