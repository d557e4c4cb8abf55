// Whether a part of the system is ready: one judgement for /readyz and for the exit code of `status`.
//
// Owns: the rule. Refuses to know: where the facts come from (the process's own figures, or a lock's report).
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

/// Empty: it is.
std::string reason_not_ready(const part_condition& p, std::chrono::milliseconds max_lag);

}  // namespace recordkv::cli
