// How fast the store grows. `status` can thus show a rate without reading the store twice.
//
// Owns: the rates over the last readings. Does not know: NATS. Pure.
#pragma once

#include "recordkv/nats/jetstream.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <deque>

namespace recordkv::stages {

class store_growth {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// Takes one reading of the store's stream. If the store was recreated, the rates begin anew.
  void take(const nats::stream_state& store, time now);

  /// Adds writes_per_second and keys_per_second over the last ten seconds; nothing before the second reading.
  void describe(boost::json::object& report) const;

 private:
  struct reading {
    time at;
    std::uint64_t keys = 0, last_seq = 0;
  };
  std::deque<reading> readings_;
};

}  // namespace recordkv::stages
