// How fast the store grows, for `status`: a command that has just come would have to wait for a second look.
//
// Owns: the rates over the last looks. Refuses to know: who asks NATS.
#pragma once

#include "recordkv/nats/jetstream.hpp"

#include <chrono>
#include <deque>
#include <string>

namespace recordkv::stages {

class store_growth {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// One look at the store's stream. A store that was made anew begins anew.
  void take(const nats::stream_state& store, time now);

  /// `"writes_per_second":…,"keys_per_second":…,` over the last ten seconds; empty before the second look.
  std::string members() const;

 private:
  struct look {
    time at;
    std::uint64_t keys = 0, last_seq = 0;
  };
  std::deque<look> looks_;
};

}  // namespace recordkv::stages
