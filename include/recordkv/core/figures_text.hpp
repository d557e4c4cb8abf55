// Figures as text: one part as a JSON object's members, all parts as Prometheus text.
//
// Owns: the names of series and members (they are a contract: docs/operations.md, config/alerts.yaml).
// Refuses to know: where the figures come from.
//
// Source of the format: Prometheus text exposition format 0.0.4.
#pragma once

#include "recordkv/core/figures.hpp"

#include <string>
#include <vector>

namespace recordkv {

/// `"state":"running","events":…,…` without braces: a part of a report. An ailment adds cause, reason, stalled_since.
std::string members_of(const figures& f);

/// All series of all parts. Every cause of every part is a series, 0 or 1, so that an alert can also end.
std::string prometheus_text(const std::vector<const figures*>& parts);

/// One gauge or counter without labels, or with the ones given as `a="b",c="d"`, with its HELP and TYPE lines.
std::string prometheus_value(std::string_view name, std::string_view type, std::string_view help, double value,
                             std::string_view labels = {});

/// Counters that belong to no part, each under its own name.
std::string prometheus_counters(const meters& counted);

/// Text as it may stand between quotes in JSON; control characters become spaces.
std::string quotable(std::string_view s);

}  // namespace recordkv
