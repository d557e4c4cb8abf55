// The part of repairs for accounts in whose source there was a gap: most of them have missed nothing, so their PDS is
// asked for their newest rev before their repo is fetched.
#include "host_place.hpp"
#include "loss_marks.hpp"
#include "repairs.hpp"

#include <utility>

namespace recordkv::stages {

// nullopt: the repo must be fetched.
task<std::optional<repairs::outcome>> repairs::check_latest(account& a) {
  const bool provable = a.newest.verified && !a.newest.rev.empty() && !a.newest.data.empty();
  if (!port_.get_latest || !provable) co_return std::nullopt;
  auto known = co_await identify(a, false);  // anew: the mark has made it old
  if (known.what == outcome::kind::failed && known.word == "did_not_found") {
    note_not_served(a, "repo_not_found");
    co_return outcome{};
  }
  if (known.what != outcome::kind::done) co_return known;
  const auto pds = a.newest.pds;
  a.journal = std::make_unique<commit_journal>(std::max(a.newest.rev, a.newest.seen), a.newest.rev, a.newest.data);
  const auto rev = a.newest.rev, data = a.newest.data;
  auto said = xrpc::pds_client::answer<xrpc::latest_commit>(xrpc::latest_commit{});
  {
    host_place place(hosts_, pds, [this] { give_place(); });
    if (!place.taken()) co_return wait_for_place(a);
    said = co_await port_.get_latest(pds, a.newest.did);
  }
  if (closed_) co_return stopped();
  const bool as_before = said && said->rev == rev && a.journal->after(rev, data).has_value();
  if (as_before && only_source_gap(a.newest)) co_return note_checked(a);
  co_return after_latest(a, said);
}

// The account has missed nothing: its newest commit, or the one that those since continue from, is in the store.
repairs::outcome repairs::note_checked(account& a) {
  auto& s = a.newest;
  s.status = "synchronised";
  s.reasons.clear();
  s.error.clear();
  s.tries = 0;
  s.next_try = 0;
  counters_.add("repairs", "checked");
  settles_.add_state(writer_.out().skip(), a);
  return {};
}

// Another rev, or no rev: a failure of the host is tried again later, everything else is cleared up by a fetch.
std::optional<repairs::outcome> repairs::after_latest(account& a,
                                                      const xrpc::pds_client::answer<xrpc::latest_commit>& said) {
  a.journal.reset();
  if (said || said.error().word == "garbage" || said.error().word == "status") return std::nullopt;
  const auto code = said.error().code;
  if (code != errc::not_found && code != errc::refused) return outcome_of(a.newest.pds, said.error());
  if (only_source_gap(a.newest)) note_not_served(a, said.error().word);
  return outcome{};
}

// The account is not served. Its #account may be among the events that are missing, so it is asked about like an
// account of which #account has said that: the gap is known, so no patience is needed (compare note_gone()).
void repairs::note_not_served(account& a, std::string_view word) {
  auto& s = a.newest;
  if (word == "repo_not_found" || word == "repo_deleted") {
    s.upstream_status = "deleted";
    s.status = "removing";
    s.removing_since = seconds_now();
  } else {
    s.upstream_status = xrpc::status_of_refusal(word);
  }
  settles_.add_state(writer_.out().skip(), a);
}

}  // namespace recordkv::stages
