// The part of repairs that fetches a repo and makes the store equal to it.
#include "../accounts/event_rules.hpp"
#include "host_place.hpp"
#include "loss_marks.hpp"
#include "recordkv/atproto/json.hpp"
#include "recordkv/config.hpp"
#include "recordkv/core/crash_point.hpp"
#include "recordkv/core/timestamp.hpp"
#include "repairs.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::stages {

namespace {

constexpr std::size_t records_in_chunk = 256, records_in_job = 64;

std::string_view text_of(const error& e) {
  if (e.code == errc::cursor_stale) return "older than what is known of the account";
  if (e.code == errc::mismatch) return "another tree than the commit of this rev has";
  return "the account has changed meanwhile";
}

// The export is of the very commit that was verified and applied last. Its signature then proves nothing more. After a
// migration it may be one of the account's former key: the new PDS signs only with the account's next write.
bool is_verified_commit(const kv::repo_state& s, const atproto::repo_export& repo) {
  return s.verified && !s.rev.empty() && repo.rev() == s.rev && repo.data() == s.data;
}

// The PDS refuses the repo because the account is inactive, and the #account that said so was missed. The PDS is asked
// for its status next, as after #account.
void note_refusal(kv::repo_state& s, std::string_view word) {
  if (const auto status = xrpc::status_of_refusal(word); !status.empty()) s.upstream_status = status;
}

}  // namespace

task<repairs::outcome> repairs::resync(account& a) {
  auto known = co_await identify(a, false);
  if (known.what != outcome::kind::done) co_return known;
  const auto pds = a.newest.pds;
  a.journal = std::make_unique<commit_journal>(std::max(a.newest.rev, a.newest.seen), a.newest.rev, a.newest.data);
  std::optional<xrpc::pds_client::answer<xrpc::fetched_repo>> fetched;
  {
    host_place place(hosts_, pds, [this] { give_place(); });
    if (!place.taken()) co_return wait_for_place(a);
    fetched.emplace(co_await port_.get_repo(pds, a.newest.did));
  }
  if (closed_) co_return stopped();
  auto answered = *fetched ? outcome{} : outcome_of(pds, fetched->error());
  if (answered.what == outcome::kind::later) co_return answered;
  a.fetched = rules_.now();
  if (!*fetched && !is_away(a.newest)) note_refusal(a.newest, fetched->error().word);
  if (!*fetched) co_return answered;
  auto repo = co_await read_export((**fetched).take_car(), a.newest.did);
  if (closed_) co_return stopped();
  if (!repo)
    co_return failed(repo.error().code == errc::not_found ? "torn" : "bad_export",
                     fmt::format("its repo, as {} gives it: {}", pds, repo.error().text));
  co_return co_await resync_from(a, std::move(*repo));
}

task<result<atproto::repo_export>> repairs::read_export(std::string car, std::string did) {
  auto read = result<atproto::repo_export>(fail(errc::closed, "not read"));
  std::vector<worker_pool::job> job;
  job.emplace_back([&read, &car, &did] { read = atproto::repo_export::read(std::move(car), did); });
  co_await pool_.run(std::move(job));
  co_return read;
}

task<repairs::outcome> repairs::resync_from(account& a, atproto::repo_export repo) {
  if (!is_verified_commit(a.newest, repo) && (!a.key || !repo.signed_by(*a.key))) {
    auto renewed = co_await identify(a, true);
    if (renewed.what != outcome::kind::done) co_return renewed;
    if (!a.key || !repo.signed_by(*a.key)) co_return failed("bad_signature", "its repo is not signed with its key");
  }
  if (is_away(a.newest)) co_return outcome{};
  co_return co_await make_equal(a, repo);
}

task<repairs::outcome> repairs::make_equal(account& a, const atproto::repo_export& repo) {
  if (!co_await holds_.hold(a)) co_return stopped();
  if (is_away(a.newest)) co_return outcome{};  // #account came meanwhile
  auto now = a.journal->after(repo.rev(), repo.data());
  if (!now) {
    counters_.add("repair_exports", now.error().text);
    co_return failed(now.error().text, fmt::format("its PDS gave rev {}: {}", repo.rev(), text_of(now.error())));
  }
  auto keys = co_await port_.keys(a.newest.did, a.newest.collections, repo.records().size());
  if (closed_) co_return stopped();
  if (!keys) co_return outcome{.what = outcome::kind::later, .pause = own_pause};
  const auto wanted = [this](const std::string& c) { return wants_collection(rules_.collections, c); };
  auto diff = compare(repo.records(), *keys, wanted, now->newer);
  if (is_away(a.newest) || !co_await note_collections(a, diff)) co_return closed_ ? stopped() : outcome{};
  counters_.add("repair_records", "unchanged", diff.unchanged);
  if (marked_by_loss(a.newest)) note_differing(diff.puts.size() + diff.deletes.size());
  auto last = co_await write_diff(a, repo, std::move(diff));
  if (!last) co_return stopped();
  // A person may have removed the account meanwhile, or wished for a repo that is newer than this one.
  if (!is_away(a.newest) && a.journal->after(repo.rev(), repo.data())) note_repaired(a, *now);
  settles_.add_state(*last, a);
  co_return outcome{};
}

void repairs::note_differing(std::size_t records) {
  loss_.differed(records);
  counters_.add("after_loss", "records_differed", records);
}

// A repair finds an account's keys by the collections of its state. So that none is missed after a crash, the state is
// written before the first put into a new collection. False: the stage stops.
task<bool> repairs::note_collections(account& a, const repo_diff& diff) {
  const auto before = a.newest.collections.size();
  for (const auto& p : diff.puts) note_collection(a.newest, p.collection);
  if (a.newest.collections.size() == before) co_return true;
  const auto number = settles_.add_state(writer_.out().skip(), a);
  settles_.hurry();
  while (!closed_ && !settles_.is_written(number)) co_await settles_.progress().wait();
  co_return !closed_;
}

void repairs::note_repaired(account& a, const commit_journal::continuation& now) {
  auto& s = a.newest;
  if (marked_by_loss(s)) {
    loss_.resynced();
    counters_.add("after_loss", "resynced");
  }
  s.rev = now.rev;
  s.data = now.data;
  s.seen = std::max(s.seen, now.rev);
  s.status = "synchronised";
  s.reasons.clear();
  s.error.clear();
  s.verified = !now.data.empty();  // else events without a proof have followed
  s.complete = true;
  s.begun.clear();
  s.filter = rules_.filter;
  s.tries = 0;
  s.next_try = 0;
  s.removing_since = 0;
  s.resynced = seconds_now();
  counters_.add("repairs", "done");
}

task<result<nats::ordinal>> repairs::write_diff(account& a, const atproto::repo_export& repo, repo_diff diff) {
  auto last = writer_.out().skip();
  const atproto::repo_event of{.did = a.newest.did, .rev = repo.rev(), .time = timestamp_now()};
  counters_.add("repair_records", "deleted", diff.deletes.size());
  for (auto& k : diff.deletes) {
    if (closed_ || is_away(a.newest)) break;
    auto erased = co_await erase(of, std::move(k.collection), std::move(k.rkey), std::move(k.cid), last);
    if (!erased) co_return erased.error();
  }
  auto put = co_await write_puts(a, repo, diff.puts, last);
  if (!put) co_return put.error();
  if (closed_) co_return fail(errc::closed, "kv: stopped");
  co_return last;
}

// Records become JSON on the pool, a chunk at a time, so that memory holds only one chunk of them.
task<result<void>> repairs::write_puts(account& a, const atproto::repo_export& repo, std::vector<repo_diff::put>& puts,
                                       nats::ordinal& last) {
  const atproto::repo_event of{.did = a.newest.did, .rev = repo.rev(), .time = timestamp_now()};
  for (std::size_t begin = 0; begin < puts.size() && !closed_ && !is_away(a.newest); begin += records_in_chunk) {
    const auto end = std::min(puts.size(), begin + records_in_chunk);
    std::vector<result<std::string>> json(end - begin, std::string());
    std::vector<worker_pool::job> jobs;
    for (auto from = begin; from < end; from += records_in_job)
      jobs.emplace_back([&, from, to = std::min(end, from + records_in_job)] {
        for (auto n = from; n < to; ++n) json[n - begin] = atproto::json_of(repo.records()[puts[n].record].data);
      });
    co_await pool_.run(std::move(jobs));
    for (auto n = begin; n < end; ++n) {
      auto put = co_await write_put(a, of, puts[n], std::move(json[n - begin]), last);
      if (!put) co_return put;
    }
  }
  co_return result<void>{};
}

// A record that can't be stored is left out. An older value of its key would look current, and is deleted.
task<result<void>> repairs::write_put(account& a, const atproto::repo_event& of, repo_diff::put& p,
                                      result<std::string> json, nats::ordinal& last) {
  std::string_view flaw;
  if (!json) flaw = atproto::name(atproto::flaw_for(json.error()));
  if (flaw.empty() && !note_collection(a.newest, p.collection)) flaw = "too_many_collections";
  if (flaw.empty()) {
    atproto::record_change c{.what = p.replaces ? atproto::action::update : atproto::action::create,
                             .collection = p.collection,
                             .rkey = p.rkey,
                             .cid = std::move(p.cid),
                             .json = std::move(*json)};
    auto put = co_await writer_.put(of, c);
    crash_point("repair.put");
    if (put) {
      last = *put;
      counters_.add("repair_records", "put");
      co_return result<void>{};
    }
    if (put.error().code != errc::too_large) co_return put.error();
    flaw = "too_large";
  }
  counters_.add("repair_records", "left_out");
  counters_.add("skipped", flaw);
  if (!p.replaces) co_return result<void>{};
  co_return co_await erase(of, p.collection, p.rkey, {}, last);
}

task<result<void>> repairs::erase(const atproto::repo_event& of, std::string collection, std::string rkey,
                                  std::string cid, nats::ordinal& last) {
  const atproto::record_change c{.what = atproto::action::remove,
                                 .collection = std::move(collection),
                                 .rkey = std::move(rkey),
                                 .prev = std::move(cid)};
  auto put = co_await writer_.erase(of, c);
  crash_point("repair.delete");
  if (!put && put.error().code == errc::too_large) co_return result<void>{};  // no such key can have been stored
  if (!put) co_return put.error();
  last = *put;
  co_return result<void>{};
}

}  // namespace recordkv::stages
