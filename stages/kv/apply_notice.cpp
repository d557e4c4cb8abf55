// The applier's part for events about an account as a whole. Also the marks and counters for what is not applied.
#include "accounts/event_rules.hpp"
#include "apply.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/timestamp.hpp"

#include <utility>

namespace recordkv::stages {

using atproto::event_kind;
using atproto::repo_event;
using atproto::verdict;

namespace {

// "#account takendown", "#sync 3kabc…": the kind, and the first of rev, reason and status that is not empty.
std::string detail_of(std::string_view word, const repo_event& e) {
  for (const auto* detail : {&e.rev, &e.reason, &e.status})
    if (!detail->empty()) return fmt::format("#{} {}", word, *detail);
  return fmt::format("#{}", word);
}

std::string_view text_of_failure(std::string_view failure) {
  if (failure == "did_not_found") return "its DID does not exist, or is a tombstone";
  if (failure == "did_document") return "its DID document names no usable signing key";
  return "its signing key could not be looked up";
}

}  // namespace

// A #sync brings no records. It marks the account, unless it names the stored tree root.
void applier::apply_sync(kv_event e) {
  counters_.add("stream_events", "sync");
  account& a = accounts_.use(e.what->did);
  const bool same = !e.what->data.empty() && e.what->data == a.newest.data;
  if (!strict(e) && (a.known() && same)) return ignore(std::move(e), "older");
  if (const auto why = without_effect(a, e); !why.empty()) return dismiss(std::move(e), why);
  if (strict(e) && !has_verdict(e)) return drop(std::move(e), "invalid");
  if (has_verdict(e)) note_verdict(a, e);
  if (!a.known()) a.newest.followed = true;  // it begins with this #sync (apply_rules::begins), and is marked below
  if (e.worth == verdict::discontinuity)
    desynchronise(a, e, e.what->proof->flaw, detail_of("sync", *e.what));
  else if (same)
    advance(a, *e.what);
  else
    desynchronise(a, e, "sync", detail_of("sync", *e.what));
  settles_.add(out_.skip(), std::move(e), &a);
}

// The account has made commits that lead back to the same tree.
void applier::advance(account& a, const repo_event& e) {
  if (a.journal) a.journal->add({.rev = e.rev, .data = e.data, .prev_data = e.data, .paths = {}});
  a.newest.rev = e.rev;
}

void applier::apply_account(kv_event e) {
  counters_.add("stream_events", "account");
  account& a = accounts_.use(e.what->did);
  if (!a.known()) return ignore(std::move(e), "not_begun");
  if (came_late(e.from))  // a newer #account may have come before it
    return strict(e) ? drop(std::move(e), "late")
                     : skip_event(std::move(e), "late", "#account came after newer events");
  // An event may come again after newer ones of its account: NATS delivers a whole message again, and one of another
  // account may have kept it unsettled.
  if (!note_account_number(a.newest, e)) return ignore(std::move(e), "older");
  if (believes_account(a, e)) return apply_account_to_confirm(std::move(e), a);
  const bool was_inactive = inactive(a.newest);
  a.newest.upstream_status = e.what->active ? "" : e.what->status.empty() ? "inactive" : e.what->status;
  if (strict(e) && was_inactive && !inactive(a.newest))
    desynchronise(a, e, "reactivated", "commits of the time when it was inactive are missing");
  if (!strict(e) && !e.what->active) desynchronise(a, e, "account", detail_of("account", *e.what));
  settles_.add(out_.skip(), std::move(e), &a);
}

// The account's PDS is asked before records go (X11, X15). Until it has answered, commits have no effect. Should it say
// that the account is active, the account is fetched anew, which brings them.
void applier::apply_account_to_confirm(kv_event e, account& a) {
  auto& s = a.newest;
  const auto before = s.upstream_status;
  const bool was_away = is_away(s);
  s.upstream_status = !e.what->status.empty() ? e.what->status : e.what->active ? "" : "inactive";
  if (e.what->active && inactive(s)) s.upstream_status.clear();  // active, for whatever reason
  const bool returns = was_away && !inactive(s);
  if ((returns || s.upstream_status != before) && s.status != "removed") {  // removed: a person has decided
    s.tries = 0;
    s.next_try = 0;
    if (returns) {
      s.status = "synchronised";
      s.removing_since = 0;
      desynchronise(a, e, "reactivated", "commits of the time when it was inactive are missing");
    } else if (s.upstream_status == "deleted" && s.status != "deleted") {
      s.status = "removing";
      s.removing_since = seconds_since_1970(rules_.now());
    }
    if (a.journal) a.journal->need({});
    changed_(a);
  }
  settles_.add(out_.skip(), std::move(e), &a);
}

// If the account has a state, its key was looked up before the event came here. Otherwise the key is forgotten.
void applier::apply_identity(kv_event e) {
  if (!rules_.verify) return ignore(std::move(e), "identity");
  account& a = accounts_.use(e.what->did);
  if (!e.looked_up && a.pins == 0) {  // a repair looks the key up by itself
    a.key.reset();
    a.newest.key.clear();
    return ignore(std::move(e), "identity");
  }
  counters_.add("stream_events", "identity");
  settles_.add(out_.skip(), std::move(e), &a);
}

// An event that can't be read, or that ingest had to leave out for its size. An unreadable event carries no valid
// signature. If signatures are checked, it therefore marks no account.
void applier::apply_notice(kv_event e) {
  const auto word = e.what->kind == event_kind::oversize ? std::string_view("oversize") : "unreadable";
  counters_.add("stream_events", word);
  const auto reason = e.what->reason.empty() ? std::string(word) : e.what->reason;
  if (e.what->kind == event_kind::unreadable && strict(e)) {
    if (!e.undecoded) count_skipped(e, "invalid", reason);
    return settles_.add(out_.skip(), std::move(e), nullptr);
  }
  account& a = accounts_.use(e.what->did);
  const bool listed_only = rules_.begins == beginning::never || rules_.begins == beginning::with_signal;
  if (!a.known() && listed_only) return ignore(std::move(e), "not_listed");
  desynchronise(a, e, reason, detail_of(word, *e.what));
  settles_.add(out_.skip(), std::move(e), &a);
}

// The event changes nothing, and nothing is lost by that.
void applier::ignore(kv_event e, std::string_view why) {
  counters_.add("ignored", why);
  settles_.add(out_.skip(), std::move(e), nullptr);
}

void applier::drop(kv_event e, std::string_view reason) {
  if (reason == "bad_signature") counters_.add("verdicts", reason);
  count_skipped(e, reason, reason);
  account& a = accounts_.use(e.what->did);
  const bool keep_key = a.known() && a.key_unsaved;  // else a restart would bring the old key back
  settles_.add(out_.skip(), std::move(e), keep_key ? &a : nullptr);
}

void applier::give_up(kv_event e, std::string_view failure) {
  counters_.add("skipped", failure);
  account& a = accounts_.use(e.what->did);
  if (!a.known()) return settles_.add(out_.skip(), std::move(e), nullptr);
  if (a.journal) a.journal->need(e.what->rev);
  mark(a, failure, fmt::format("rev {} is not verified: {}", e.what->rev, text_of_failure(failure)));
  settles_.add(out_.skip(), std::move(e), &a);
}

// The event is lost, so its account is marked.
void applier::skip_event(kv_event e, std::string_view reason, std::string why) {
  counters_.add("skipped", reason);
  account& a = accounts_.use(e.what->did);
  desynchronise(a, e, reason, why);
  settles_.add(out_.skip(), std::move(e), &a);
}

// A payload that the decoder refused becomes an event. Its kind is `unreadable` if at least its DID was found, else
// `unknown`.
void applier::count_undecoded(const kv_event& e) {
  const auto& reason = e.what->reason;
  const bool bad_did = reason == "bad_did" || reason == "did_too_long";
  if (strict(e) || e.what->did.empty())
    return count_skipped(e, bad_did ? reason : strict(e) ? "invalid" : "malformed", reason);
  counters_.add("skipped", bad_did ? reason : "malformed");  // apply_notice() counts it by host
  tell_skipped(e, host_of(e.from), reason);
}

void applier::count_skipped(const kv_event& e, std::string_view reason, std::string_view detail) {
  counters_.add("skipped", reason);
  const auto host = host_of(e.from);
  counters_.add_of_host("account_faults", host, detail);
  tell_skipped(e, host, detail);
}

void applier::tell_skipped(const kv_event& e, const std::string& host, std::string_view reason) {
  if (const auto n = told_.count(host, rate_limited::clock::now()))
    log::warn("kv", "{}: {} event{} skipped, the last for {}, account {}", host, n, n == 1 ? "" : "s", reason,
              e.what->did.empty() ? "unknown" : e.what->did);
}

// If a repair is under way, an export makes up for what is lacking only if it is new enough. For a broken chain the
// journal sees that itself.
void applier::desynchronise(account& a, const kv_event& e, std::string_view reason, const std::string& why,
                            lacking what) {
  const auto host = host_of(e.from);
  counters_.add_of_host("account_faults", host, reason);
  if (a.journal && what == lacking::of_this) a.journal->need(e.what->rev);
  mark(a, reason, fmt::format("{} (from {})", why, host));
}

void applier::mark(account& a, std::string_view reason, std::string why) {
  const auto& status = a.newest.status;
  if (status != "synchronised" && status != "desynchronised") return;  // its records are gone, or will be
  if (!a.newest.stale()) ++desynchronised_;
  a.newest.desynchronise(reason, std::move(why));
  changed_(a);
}

}  // namespace recordkv::stages
