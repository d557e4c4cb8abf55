#include "frame_line.hpp"

#include "output.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace recordkv::cli {
namespace {

namespace json = boost::json;

// The host may have written the reason.
std::string printable(std::string text) {
  std::ranges::replace_if(text, [](char c) { return c < 0x20 || c > 0x7E; }, '?');
  return text;
}

std::string verdict_text(const check& c) {
  std::string out(c.verdict);
  if (!c.reason.empty()) out += " (" + printable(c.reason) + ")";
  if (c.what == weight::fine) return out;
  return marked(c.what == weight::failed ? "31" : "33", std::move(out));
}

std::string_view or_dash(std::string_view s) { return s.empty() ? "-" : s; }

}  // namespace

void append_frame_line(std::string& out, const judged_frame& f) {
  out += fmt::format("{:>11} {:<10} {:<32} {:<13} {:>3} ops {:>7} bytes", f.seq == 0 ? "-" : fmt::to_string(f.seq),
                     f.kind, or_dash(f.did), or_dash(f.rev), f.ops, f.size);
  for (const auto& c : f.checks) out += fmt::format("  {} {}", c.name, verdict_text(c));
  out += '\n';
}

void append_frame_json(std::string& out, const judged_frame& f) {
  json::object o{{"kind", f.kind}, {"size", f.size}, {"ok", !f.failed()}};
  if (f.seq != 0) o["seq"] = f.seq;
  if (!f.did.empty()) o["did"] = f.did;
  if (!f.rev.empty()) o["rev"] = f.rev;
  if (f.kind == "commit") o["ops"] = f.ops;
  auto& checks = o["checks"].emplace_object();
  json::object reasons;
  for (const auto& c : f.checks) {
    checks[c.name] = c.verdict;
    if (!c.reason.empty()) reasons[c.name] = printable(c.reason);
  }
  if (!reasons.empty()) o["reasons"] = std::move(reasons);
  out += json::serialize(o);
  out += '\n';
}

void frame_counts::add(const judged_frame& f) {
  ++frames_;
  if (f.failed()) ++failed_;
  for (const auto& c : f.checks) {
    auto known = std::ranges::find(checks_, c.name, [](const auto& entry) { return entry.first; });
    if (known == checks_.end()) known = checks_.insert(known, {c.name, {}});
    ++known->second[c.verdict];
  }
}

std::string frame_counts::text() const {
  auto out = fmt::format("{} frame{}, {} failed", frames_, frames_ == 1 ? "" : "s", failed_);
  for (const auto& [name, verdicts] : checks_) {
    std::string_view before = " ";
    out += fmt::format("; {}", name);
    for (const auto& [verdict, n] : verdicts) out += fmt::format("{}{} {}", std::exchange(before, ", "), verdict, n);
  }
  return out;
}

}  // namespace recordkv::cli
