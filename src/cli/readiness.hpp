// Whether a part is ready: one rule for /readyz and for the exit code of `status`.
//
// Owns: the rule. Does not know: where the facts come from (the process's own statistics, or a lease's report).
#pragma once

#include "recordkv/core/part_stats.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <string>

namespace recordkv::cli {

struct part_condition {
  std::string part;
  std::string state;  ///< running, standby, starting, stalled
  std::string cause, reason;
  double lag_seconds = 0;
};
part_condition condition_of(const part_stats& f);
part_condition condition_of(const boost::json::object& report);

/// Empty: the part is ready.
std::string reason_not_ready(const part_condition& p, std::chrono::milliseconds max_lag);

}  // namespace recordkv::cli
