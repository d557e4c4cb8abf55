#include "recordkv/core/part_stats_text.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace recordkv {
namespace json = boost::json;
namespace {

// Text for a person: a control character becomes a space.
std::string one_line(std::string s) {
  std::ranges::replace_if(s, [](unsigned char c) { return c < 0x20; }, ' ');
  return s;
}

// Text between the quotes of a Prometheus label.
std::string quotable(std::string_view s) {
  std::string out;
  for (const char c : one_line(std::string(s))) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// A report gives seconds to the millisecond.
double to_millisecond(double seconds) { return std::round(seconds * 1000) / 1000; }

using sample = std::optional<double>;  // nullopt: the part has no such value

struct gauge {
  std::string_view name, type, help;
  sample (*of)(const part_stats&);
};

sample of_repairs(const part_stats& f, std::uint64_t repair_stats::* what) {
  return f.repairs ? sample(static_cast<double>(*f.repairs.*what)) : std::nullopt;
}

constexpr gauge gauges[] = {
    {"recordkv_stage_up", "gauge", "1: works; 0: stalled, standing by or starting.",
     [](const part_stats& f) -> sample { return f.running && !f.health.stalled() ? 1.0 : 0.0; }},
    {"recordkv_standby", "gauge", "1: another process holds the lease, this one waits for it.",
     [](const part_stats& f) -> sample { return f.standby ? 1.0 : 0.0; }},
    {"recordkv_events_total", "counter", "Frames, buffered events or store messages taken in.",
     [](const part_stats& f) -> sample { return static_cast<double>(f.events); }},
    {"recordkv_bytes_total", "counter", "Size of what was taken in.",
     [](const part_stats& f) -> sample { return static_cast<double>(f.bytes); }},
    {"recordkv_lag_messages", "gauge", "Still to be taken in.",
     [](const part_stats& f) -> sample { return static_cast<double>(f.lag_messages); }},
    {"recordkv_lag_seconds", "gauge",
     "Age of what was taken in last, while more is waiting; of ingest, when it came from the network.",
     [](const part_stats& f) -> sample { return f.lag_seconds; }},
    {"recordkv_in_flight", "gauge", "Taken in and not yet settled.",
     [](const part_stats& f) -> sample { return static_cast<double>(f.in_flight); }},
    {"recordkv_oldest_unsettled_seconds", "gauge", "How long the oldest of these has been waiting.",
     [](const part_stats& f) -> sample { return f.oldest_unsettled_seconds; }},
    {"recordkv_cursor_age_seconds", "gauge",
     "How long ago the frame after the cursor was read; 0: none was read since.",
     [](const part_stats& f) { return f.cursor_age_seconds; }},
    {"recordkv_source_gaps", "gauge", "Periods in which the source may have lost events.",
     [](const part_stats& f) { return f.source_gaps ? sample(static_cast<double>(*f.source_gaps)) : std::nullopt; }},
    {"recordkv_source_gap_seconds", "gauge", "Their total length, as far as both ends are known.",
     [](const part_stats& f) { return f.source_gaps ? sample(f.source_gap_seconds) : std::nullopt; }},
    {"recordkv_repairs_waiting", "gauge", "Accounts that are to be repaired.",
     [](const part_stats& f) { return of_repairs(f, &repair_stats::waiting); }},
    {"recordkv_repairs_under_way", "gauge", "Accounts that are being repaired.",
     [](const part_stats& f) { return of_repairs(f, &repair_stats::under_way); }},
    {"recordkv_repair_bytes", "gauge", "Size of the repos that are in memory.",
     [](const part_stats& f) { return of_repairs(f, &repair_stats::bytes); }},
    {"recordkv_repair_max_bytes", "gauge", "repos.memory.",
     [](const part_stats& f) { return of_repairs(f, &repair_stats::max_bytes); }},
};

struct timing {
  std::string_view name, help;
  histogram part_stats::* of;
};

constexpr timing timings[] = {
    {"recordkv_publish_seconds", "From sending a message to its acknowledgement.", &part_stats::publish},
    {"recordkv_transaction_seconds", "Database transactions.", &part_stats::transaction},
    {"recordkv_visible_seconds", "From an event's own time to its row: first and last record of each batch.",
     &part_stats::visible},
};

std::string labels_of(const part_stats& f) { return fmt::format(R"(stage="{}",part="{}")", f.stage, f.part); }

void head(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void add_timing(std::string& out, const timing& t, const std::vector<const part_stats*>& parts) {
  head(out, t.name, "histogram", t.help);
  for (const auto* f : parts) {
    const histogram& h = f->*t.of;
    const auto labels = labels_of(*f);
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < histogram::bounds.size(); ++i) {
      below += h.in_bucket(i);
      out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", t.name, labels, histogram::bounds[i], below);
    }
    out += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n{}_sum{{{}}} {}\n{}_count{{{}}} {}\n", t.name, labels,
                       h.count(), t.name, labels, h.sum(), t.name, labels, h.count());
  }
}

void add_stalls(std::string& out, const std::vector<const part_stats*>& parts) {
  head(out, "recordkv_stalled", "gauge", "1: this part is stalled for this cause.");
  for (const auto* f : parts)
    for (const auto c : cause_names) {
      const auto& stall = f->health.stalled();
      out += fmt::format("recordkv_stalled{{{},cause=\"{}\"}} {}\n", labels_of(*f), c,
                         stall && name(stall->what) == c ? 1 : 0);
    }
}

// Several parts may share a database, which is one sample: the first part that knows a value provides it.
void add_databases(std::string& out, const std::vector<const part_stats*>& parts) {
  std::map<std::string, double> wal, oldest;
  for (const auto* f : parts) {
    if (!f->database) continue;
    const auto& d = *f->database;
    if (d.wal_bytes) wal.emplace(d.name, static_cast<double>(*d.wal_bytes));
    if (d.oldest_transaction_seconds) oldest.emplace(d.name, *d.oldest_transaction_seconds);
  }
  const auto add = [&](std::string_view name, std::string_view help, const std::map<std::string, double>& all) {
    if (!all.empty()) head(out, name, "gauge", help);
    for (const auto& [database, value] : all)
      out += fmt::format("{}{{database=\"{}\"}} {}\n", name, quotable(database), value);
  };
  add("recordkv_view_wal_bytes", "The write-ahead log of an SQLite database of views, as far as it is committed.", wal);
  add("recordkv_view_oldest_transaction_seconds",
      "PostgreSQL: the age of the oldest transaction of another program in the database of views; 0: none.", oldest);
}

void add_gauge(std::string& out, const gauge& g, const std::vector<const part_stats*>& parts) {
  std::string lines;
  for (const auto* f : parts)
    if (const auto value = g.of(*f)) lines += fmt::format("{}{{{}}} {}\n", g.name, labels_of(*f), *value);
  if (lines.empty()) return;
  head(out, g.name, g.type, g.help);
  out += lines;
}

// Counters by their own names. The samples of one name must be adjacent, whichever part they belong to.
void add_counters(std::string& out, const std::vector<const part_stats*>& parts) {
  std::set<std::string> names;
  for (const auto* f : parts)
    for (const auto& [key, value] : f->counted.all()) names.insert(key.first);
  for (const auto& n : names) {
    const auto series = fmt::format("recordkv_{}_total", n);
    head(out, series, "counter", "Counted since the start, by reason where there is one.");
    for (const auto* f : parts)
      for (const auto& [key, value] : f->counted.all()) {
        if (key.first != n) continue;
        const auto reason = key.second.empty() ? "" : fmt::format(R"(,reason="{}")", key.second);
        out += fmt::format("{}{{{}{}}} {}\n", series, labels_of(*f), reason, value);
      }
  }
}

// Counters of hosts, which have one more label.
void add_host_counters(std::string& out, const std::vector<const part_stats*>& parts) {
  std::set<std::string> names;
  for (const auto* f : parts)
    for (const auto& [key, value] : f->counted.of_hosts()) names.insert(std::get<0>(key));
  for (const auto& n : names) {
    const auto series = fmt::format("recordkv_{}_total", n);
    head(out, series, "counter", "Counted since the start, by the host it came from and by reason.");
    for (const auto* f : parts)
      for (const auto& [key, value] : f->counted.of_hosts())
        if (std::get<0>(key) == n)
          out += fmt::format("{}{{{},host=\"{}\",reason=\"{}\"}} {}\n", series, labels_of(*f),
                             quotable(std::get<1>(key)), std::get<2>(key), value);
  }
}

}  // namespace

double histogram::quantile(double q) const noexcept {
  const auto wanted = q * static_cast<double>(count_);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i)
    if (below += counts_[i]; count_ > 0 && static_cast<double>(below) >= wanted) return bounds[i];
  return count_ > 0 ? bounds.back() : 0;
}

void add_report(json::object& report, const part_stats& part) {
  const auto& stall = part.health.stalled();
  report["state"] = stall ? "stalled" : part.standby ? "standby" : part.running ? "running" : "starting";
  if (stall) {
    report["cause"] = name(stall->what);
    report["reason"] = one_line(stall->reason);
    report["stalled_since"] = fmt::format("{:%FT%TZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(stall->since)));
  }
  if (!part.warning.empty()) report["warning"] = one_line(part.warning);
  if (part.database && part.database->wal_bytes) report["wal_bytes"] = *part.database->wal_bytes;
  report["events"] = part.events;
  report["bytes"] = part.bytes;
  report["lag_messages"] = part.lag_messages;
  report["lag_seconds"] = to_millisecond(part.lag_seconds);
  report["in_flight"] = part.in_flight;
  report["oldest_unsettled_seconds"] = to_millisecond(part.oldest_unsettled_seconds);
  if (part.cursor_age_seconds) report["cursor_age_seconds"] = to_millisecond(*part.cursor_age_seconds);
  if (part.source_gaps) {
    report["source_gaps"] = *part.source_gaps;
    report["source_gap_seconds"] = to_millisecond(part.source_gap_seconds);
  }
  const std::pair<std::string_view, const histogram&> timed[] = {{"publish_p99_seconds", part.publish},
                                                                 {"transaction_p99_seconds", part.transaction},
                                                                 {"visible_p99_seconds", part.visible}};
  for (const auto& [what, h] : timed)
    if (h.count() > 0) report[what] = h.quantile(0.99);
  json::object counted;
  for (const auto& [key, value] : part.counted.all())
    if (!key.second.empty() && value > 0) counted[fmt::format("{} {}", key.first, key.second)] = value;
  report["counted"] = std::move(counted);
}

std::string prometheus_value(std::string_view name, std::string_view type, std::string_view help, double value,
                             std::string_view labels) {
  std::string out;
  head(out, name, type, help);
  out += labels.empty() ? fmt::format("{} {}\n", name, value) : fmt::format("{}{{{}}} {}\n", name, labels, value);
  return out;
}

std::string prometheus_counters(const meters& counted) {
  std::string out, last;
  for (const auto& [key, value] : counted.all()) {
    const auto series = fmt::format("recordkv_{}_total", key.first);
    if (key.first != last) head(out, series, "counter", "Counted since the start, by reason where there is one.");
    last = key.first;
    out += key.second.empty() ? fmt::format("{} {}\n", series, value)
                              : fmt::format("{}{{reason=\"{}\"}} {}\n", series, key.second, value);
  }
  return out;
}

std::string prometheus_text(const std::vector<const part_stats*>& parts) {
  std::string out;
  if (parts.empty()) return out;
  for (const auto& g : gauges) add_gauge(out, g, parts);
  add_stalls(out, parts);
  add_databases(out, parts);
  for (const auto& t : timings) add_timing(out, t, parts);
  add_counters(out, parts);
  add_host_counters(out, parts);
  return out;
}

}  // namespace recordkv
