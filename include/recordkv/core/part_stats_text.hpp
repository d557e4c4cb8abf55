// The numbers of parts as text: one part as members of a JSON object, all parts as Prometheus text.
//
// Owns: the names of series and members, which are a contract (docs/operations.md, config/alerts.yaml).
// Does not know: where the numbers come from.
//
// Source of the format: Prometheus text exposition format 0.0.4.
#pragma once

#include "recordkv/core/part_stats.hpp"

#include <boost/json/object.hpp>

#include <string>
#include <vector>

namespace recordkv {

/// Adds the members state, events, bytes and so on to a report. A stall adds cause, reason and stalled_since.
void add_report(boost::json::object& report, const part_stats& part);

/// All series of all parts. Each cause of each part is a series of its own, 0 or 1, so that an alert can also end.
std::string prometheus_text(const std::vector<const part_stats*>& parts);

/// One gauge or counter with its HELP and TYPE lines; `labels` is empty or `a="b",c="d"`.
std::string prometheus_value(std::string_view name, std::string_view type, std::string_view help, double value,
                             std::string_view labels = {});

/// Counters that belong to no part, each under its own name.
std::string prometheus_counters(const meters& counted);

}  // namespace recordkv
