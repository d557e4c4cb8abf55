#include "commit_journal.hpp"

#include <utility>

namespace recordkv::stages {

void commit_journal::add(commit c) {
  paths_ += c.paths.size() + 1;
  if (paths_ > max_paths) {
    spoiled_ = true;
    commits_.clear();
  }
  if (!spoiled_) commits_.push_back(std::move(c));
}

void commit_journal::need(std::string_view rev) {
  if (rev.empty()) spoiled_ = true;
  if (rev > needed_) needed_ = rev;
}

result<commit_journal::continuation> commit_journal::after(std::string_view rev, std::string_view data) const {
  if (spoiled_) return fail(errc::conflict, "changed");
  if (rev < needed_) return fail(errc::cursor_stale, "stale");
  if (rev == rev_ && !data_.empty() && data != data_) return fail(errc::mismatch, "faulty_host");
  continuation out{.rev = std::string(rev), .data = std::string(data), .newer = {}};
  for (const auto& c : commits_) {
    if (c.rev < rev) continue;
    if (c.rev == rev) {
      if (!c.data.empty() && c.data != data) return fail(errc::mismatch, "faulty_host");
      continue;
    }
    // Jetstream: events without a proof follow in their order, and nothing tells more.
    if (!c.data.empty() && c.prev_data != out.data) return fail(errc::conflict, "changed");
    out.rev = c.rev;
    out.data = c.data;
    out.newer.insert(c.paths.begin(), c.paths.end());
  }
  return out;
}

}  // namespace recordkv::stages
