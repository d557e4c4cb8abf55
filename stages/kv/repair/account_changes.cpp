#include "account_changes.hpp"

#include "../accounts/event_rules.hpp"

namespace recordkv::stages {
namespace {

// An account that is away may have returned unnoticed: then its PDS is asked, and decides. False: it is not away.
bool ask_if_away(kv::repo_state& s, std::int64_t now) {
  if (s.status == "removing") return true;  // it is being asked
  if (s.status == "inactive") {
    s.status = "synchronised";  // with an upstream status that is not active, this means: unconfirmed
    if (s.upstream_status.empty()) s.upstream_status = "inactive";
    return true;
  }
  if (s.status != "deleted") return false;
  s.status = "removing";
  s.removing_since = now;
  return true;
}

}  // namespace

void change_as_wished(account& a, kv::wish_kind wanted, std::int64_t now) {
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
  if (ask_if_away(s, now)) return;
  s.status = "synchronised";
  s.desynchronise(wanted == kv::wish_kind::add ? "added" : "asked", "its repo is being fetched");
}

// An account that a person has removed stays removed: that wish is newer than the list.
bool follow_as_listed(account& a, std::string_view filter, std::int64_t now) {
  auto& s = a.newest;
  if (s.status == "removed") return false;
  const bool fetched = (s.complete && s.filter == filter) || s.stale() || s.status == "removing";
  if (s.followed && fetched) return false;
  s.followed = true;
  if (ask_if_away(s, now) || fetched) return true;
  if (a.journal) a.journal->need({});
  s.desynchronise("listed", "its repo is being fetched");
  return true;
}

}  // namespace recordkv::stages
