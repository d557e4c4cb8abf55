// How a judged frame is printed: a line for a person, an object for a program, and the counts at the end.
//
// Owns: columns, colours, names of JSON members. Does not know: what the verdicts mean.
#pragma once

#include "frame_checks.hpp"

#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace recordkv::cli {

/// Adds "seq kind did rev ops size, check verdict (reason)…" and a line break. What a frame does not have is "-".
void append_frame_line(std::string& out, const judged_frame& f);
/// Adds one JSON object and a line break. What a frame does not have is absent.
void append_frame_json(std::string& out, const judged_frame& f);

/// Counts by verdict.
class frame_counts {
 public:
  void add(const judged_frame& f);
  bool any_failed() const noexcept { return failed_ > 0; }
  /// "63 frames, 1 failed; frame ok 63; proof ok 40, bad 1; …"
  std::string text() const;

 private:
  std::uint64_t frames_ = 0, failed_ = 0;
  std::vector<std::pair<std::string_view, std::map<std::string_view, std::uint64_t>>> checks_;  // as they came up
};

}  // namespace recordkv::cli
