#include "readiness.hpp"

#include "recordkv/core/json_fields.hpp"

#include "status_facts.hpp"

namespace recordkv::cli {

part_condition condition_of(const part_stats& f) {
  part_condition p{.part = f.part, .lag_seconds = f.lag_seconds};
  p.state = f.health.stalled() ? "stalled" : f.standby ? "standby" : f.running ? "running" : "starting";
  if (const auto& now = f.health.stalled()) {
    p.cause = name(now->what);
    p.reason = now->reason;
  }
  return p;
}

part_condition condition_of(const boost::json::object& report) {
  return {.part = text_of(report, "key"),
          .state = text_of(report, "state"),
          .cause = text_of(report, "cause"),
          .reason = text_of(report, "reason"),
          .lag_seconds = number_field(report, "lag_seconds")};
}

std::string reason_not_ready(const part_condition& p, std::chrono::milliseconds max_lag) {
  if (p.state == "stalled") return fmt::format("{}: {}: {}", p.part, p.cause, p.reason);
  if (p.state == "standby") return "";
  if (p.state != "running") return p.part + ": starting";
  if (p.lag_seconds > std::chrono::duration<double>(max_lag).count())
    return fmt::format("{}: lags by {:.0f} s, more than http.max_lag", p.part, p.lag_seconds);
  return "";
}

}  // namespace recordkv::cli
