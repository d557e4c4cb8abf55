#include "account_changes.hpp"

#include "event_rules.hpp"

namespace recordkv::stages {
namespace {

// Its repo can't be fetched, or need not be.
bool is_away_for_good(const kv::repo_state& s) {
  return s.status != "synchronised" && s.status != "desynchronised" && s.status != "removed";
}

}  // namespace

void change_as_wished(account& a, kv::wish_kind wanted) {
  auto& s = a.newest;
  if (a.journal) a.journal->need({});
  s.tries = 0;
  s.next_try = 0;
  s.resynced = 0;  // a person need not wait
  if (wanted == kv::wish_kind::remove) {
    s.followed = false;
    s.status = "removed";
    s.reasons = {"asked"};  // until its keys are gone
    return;
  }
  if (wanted == kv::wish_kind::add) s.followed = true;
  if (wanted == kv::wish_kind::resync && s.status == "removed") return;  // only `add` brings it back
  if (is_away_for_good(s)) return;
  s.status = "synchronised";
  s.desynchronise(wanted == kv::wish_kind::add ? "added" : "asked", "its repo is being fetched");
}

// An account that a person has removed stays removed: that wish is newer than the list.
bool follow_as_listed(account& a, std::string_view filter) {
  auto& s = a.newest;
  if (s.status == "removed") return false;
  const bool fetched = (s.complete && s.filter == filter) || s.stale() || is_away_for_good(s);
  if (s.followed && fetched) return false;
  s.followed = true;
  if (fetched) return true;
  if (a.journal) a.journal->need({});
  s.desynchronise("listed", "its repo is being fetched");
  return true;
}

}  // namespace recordkv::stages
