// Which process runs what, according to bucket `lock`.
//
// Owns: reading the keys and judging whether their holders live.
// Does not know: acquiring a lease (kv/lease.hpp).
#pragma once

#include "recordkv/kv/store_names.hpp"
#include "recordkv/nats/connection.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <vector>

namespace recordkv::cli {

struct lock_row {
  std::string key;
  int pid = 0;
  std::string renewed;         ///< RFC 3339 UTC
  bool live = false;           ///< renewed within a lease's period, by the NATS server's clock
  boost::json::object report;  ///< what the stage reports
};

/// All keys, in order. Empty if the bucket does not exist.
task<result<std::vector<lock_row>>> read_locks(nats::connection& nc, kv::store_names names);

}  // namespace recordkv::cli
