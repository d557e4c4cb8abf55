#include "loss_marks.hpp"

#include "../accounts/event_rules.hpp"

namespace recordkv::stages {
namespace {

// Such an account is asked about at its PDS, and its keys are removed again if it is still gone.
void ask_again(kv::repo_state& s, std::string_view why, std::string text) {
  if (s.status == "inactive") {
    s.status = "synchronised";  // and unconfirmed, because of upstream_status
    s.desynchronise(why, std::move(text));
  } else {
    s.status = "removing";
    s.reasons = {std::string(why)};
    s.error = std::move(text);
  }
  s.tries = 0;
  s.next_try = 0;
}

}  // namespace

// Among the writes that were taken back may be delete markers. The keys of an account that is gone are then there
// again.
bool mark_taken_back(kv::repo_state& s, std::optional<std::uint64_t> standing) {
  if (standing && s.at <= *standing) return false;
  const std::string text = "NATS has taken back writes of its records";
  if (s.status == "synchronised" || s.status == "desynchronised") {
    if (s.stale() && marked(s, taken_back)) return false;
    s.desynchronise(taken_back, text);
    return true;
  }
  if (s.status == "removed" && s.reasons.empty()) {
    s.reasons = {std::string(taken_back)};
    return true;
  }
  if (s.status != "inactive" && s.status != "deleted") return false;  // its keys are being removed anyway
  ask_again(s, taken_back, text);
  return true;
}

// The account's #identity and #account events may be among those that are missing. So its key counts as old, and an
// inactive account is asked about. An account that is deleted stays deleted: it would have to return within the gap.
bool mark_source_gap(account& a, bool every_account) {
  auto& s = a.newest;
  if (!a.known() || (!every_account && !s.followed)) return false;
  if (s.status != "synchronised" && s.status != "desynchronised" && s.status != "inactive") return false;
  if (a.journal) a.journal->need({});  // what was asked of its PDS may be older than the gap's end
  if (s.stale() && marked(s, source_gap) && s.key_checked == 0) return false;
  s.key_checked = 0;
  const std::string text = "its source had a gap, in which events of it may be missing";
  if (s.status == "inactive")
    ask_again(s, source_gap, text);
  else
    s.desynchronise(source_gap, text);
  return true;
}

bool marked_by_loss(const kv::repo_state& s) { return marked(s, taken_back) || marked(s, source_gap); }

bool only_source_gap(const kv::repo_state& s) {
  return s.stale() && s.reasons.size() == 1 && s.reasons.front() == source_gap;
}

}  // namespace recordkv::stages
