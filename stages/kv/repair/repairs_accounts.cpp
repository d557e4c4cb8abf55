// The part of repairs for accounts that go (X11, X15): their PDS is asked, and their keys are removed.
#include "../accounts/event_rules.hpp"
#include "host_place.hpp"
#include "recordkv/core/timestamp.hpp"
#include "repairs.hpp"

#include <utility>

namespace recordkv::stages {

task<repairs::outcome> repairs::confirm(account& a) {
  const bool removing = a.newest.status == "removing";
  const bool late = removing && seconds_now() - a.newest.removing_since >= rules_.patience.count();
  auto known = co_await identify(a, true);
  if (known.what == outcome::kind::stopped) co_return known;
  if (known.what == outcome::kind::failed) {
    if (known.word == "did_not_found" || late) co_return co_await clear(a, "deleted", is_unconfirmed);
    co_return known;
  }
  const auto pds = a.newest.pds;
  auto said = xrpc::pds_client::answer<xrpc::repo_status>(xrpc::repo_status{});
  {
    host_place place(hosts_, pds, [this] { give_place(); });
    if (!place.taken()) co_return wait_for_place(a);
    said = co_await port_.get_status(pds, a.newest.did);
  }
  if (closed_) co_return stopped();
  if (!is_unconfirmed(a.newest)) co_return outcome{};  // #account has said that it is active, meanwhile
  const bool answered = said || said.error().code == errc::not_found || said.error().code == errc::refused;
  if (!answered && late) co_return co_await clear(a, "deleted", is_unconfirmed);
  auto out = after_status(a, said);
  if (out.what != outcome::kind::later) a.confirmed = rules_.now();
  if (out.what != outcome::kind::done || !is_unconfirmed(a.newest)) co_return out;
  const bool gone = a.newest.status == "removing";
  if (gone || rules_.remove_inactive) co_return co_await clear(a, gone ? "deleted" : "inactive", is_unconfirmed);
  a.newest.status = "inactive";
  a.newest.reasons.clear();  // should it return, it is fetched
  a.newest.error.clear();
  settles_.add_state(writer_.out().skip(), a);
  co_return outcome{};
}

// What the account's PDS says of it decides. Done: the account is `removing`, inactive upstream, or desynchronised.
repairs::outcome repairs::after_status(account& a, const xrpc::pds_client::answer<xrpc::repo_status>& said) {
  auto& s = a.newest;
  if (said && said->active) {
    s.status = "synchronised";
    s.upstream_status.clear();
    s.removing_since = 0;
    s.desynchronise("account_active", "its PDS says that it is active, although #account said that it is not");
    settles_.add_state(writer_.out().skip(), a);
    return {};
  }
  if (!said && said.error().code != errc::not_found && said.error().code != errc::refused)
    return outcome_of(s.pds, said.error());
  const auto status = said ? said->status : said.error().code == errc::not_found ? "deleted" : s.upstream_status;
  if (status == "deleted" && s.status == "removing") return {};
  if (s.status == "removing") s.status = "synchronised";  // it is inactive, and not deleted
  s.removing_since = 0;
  if (said && !said->status.empty() && said->status != "deleted") s.upstream_status = said->status;
  return {};
}

// Deletes every key of the account, as long as its state demands that. If the state has changed meanwhile, the keys
// that are gone return by a repair.
task<repairs::outcome> repairs::clear(account& a, std::string_view status, condition still) {
  if (!still(a.newest)) co_return outcome{};
  if (!co_await holds_.hold(a)) co_return stopped();
  auto keys = co_await port_.keys(a.newest.did, a.newest.collections, 0);
  if (closed_) co_return stopped();
  if (!keys) co_return outcome{.what = outcome::kind::later, .pause = own_pause};
  if (!still(a.newest)) co_return outcome{};
  auto last = writer_.out().skip();
  const atproto::repo_event of{.did = a.newest.did, .rev = a.newest.rev, .time = timestamp_now()};
  for (auto& k : *keys) {
    if (closed_) co_return stopped();
    auto erased = co_await erase(of, std::move(k.collection), std::move(k.rkey), std::move(k.cid), last);
    if (!erased) co_return stopped();  // the outbox was closed
  }
  counters_.add("repair_records", "deleted", keys->size());
  if (still(a.newest)) {
    counters_.add("repairs", status);
    note_cleared(a, status);
  } else if (!is_away(a.newest)) {
    a.newest.desynchronise("cleared", "its keys were being removed when it returned");
  }
  settles_.add_state(last, a);
  co_return outcome{};
}

void repairs::note_cleared(account& a, std::string_view status) {
  auto& s = a.newest;
  s.status = status;
  s.reasons.clear();
  s.error.clear();
  s.tries = 0;
  s.next_try = 0;
  s.removing_since = 0;
  s.complete = false;
  if (status == "inactive") return;
  // Nothing stays but what protects against an older repo (X12).
  s.handle.clear();
  s.pds.clear();
  s.key.clear();
  s.key_checked = 0;
  a.key.reset();
  s.collections.clear();
}

}  // namespace recordkv::stages
