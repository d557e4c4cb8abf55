#include "apply.hpp"

#include "accounts/event_rules.hpp"
#include "recordkv/atproto/verify.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::stages {

using atproto::event_kind;
using atproto::verdict;

applier::applier(nats::outbox& out, account_cache& accounts, settlement& settles, apply_rules rules,
                 std::function<void(const account&)> changed, meters& counters)
    : out_(out),
      accounts_(accounts),
      settles_(settles),
      rules_(std::move(rules)),
      changed_(std::move(changed)),
      counters_(counters),
      writer_(out, rules_.bucket, rules_.partitions, counters) {}

// True: the event comes from a firehose, and signatures are checked. An unreadable frame, a late #account or a rev from
// the future then does not mark the account, because none of them carries a verified signature.
bool applier::strict(const kv_event& e) const { return rules_.verify && of_firehose(e); }

// True: #account takes effect once the account's PDS has confirmed it. Otherwise it only marks the account.
bool applier::believes_account(const account& a, const kv_event& e) const {
  return rules_.repairs && (strict(e) || a.newest.followed);
}

bool applier::needs_verdict(const account& a, const kv_event& e) const {
  const bool has_signature = e.what->kind == event_kind::commit || e.what->kind == event_kind::sync;
  return rules_.verify && e.framed && has_signature && without_effect(a, e).empty();
}

// Why a commit or #sync changes nothing, whatever its signature. Empty: its effect depends on the signature.
std::string_view applier::without_effect(const account& a, const kv_event& e) const {
  const auto& what = *e.what;
  const bool commit = what.kind == event_kind::commit;
  if (is_away(a.newest) && (believes_account(a, e) || strict(e) || !inactive(a.newest))) return "inactive";
  if (commit ? is_repetition(a, what) && !lost_by_lateness(a, e) : what.rev <= a.newest.rev) return "older";
  if (!a.known())
    if (const auto why = why_not_begun(what); !why.empty()) return why;
  if (atproto::from_the_future(what.rev, rules_.now()))
    return "future_rev";  // if it were applied, every later commit would look older
  return {};
}

// Why the account does not begin with this commit or #sync. Empty: it does.
std::string_view applier::why_not_begun(const atproto::repo_event& e) const {
  const bool commit = e.kind == event_kind::commit;
  const auto any = [&](auto&& of) { return commit && std::ranges::any_of(e.changes, of); };
  switch (rules_.begins) {
    case beginning::with_any: return {};
    case beginning::never: return "not_listed";
    case beginning::with_signal:
      return any([&](const auto& c) { return c.collection == rules_.signal && c.what != atproto::action::remove; })
                 ? ""
                 : "not_listed";
    case beginning::with_wanted: break;
  }
  if (!commit) return "not_begun";
  return any([&](const auto& c) { return wants(c.collection); }) ? "" : "unwanted";
}

task<result<void>> applier::apply(kv_event e) {
  if (e.undecoded) count_undecoded(e);
  switch (e.what->kind) {
    case event_kind::commit: co_return co_await apply_commit(std::move(e));
    case event_kind::sync: apply_sync(std::move(e)); break;
    case event_kind::account: apply_account(std::move(e)); break;
    case event_kind::oversize:
    case event_kind::unreadable: apply_notice(std::move(e)); break;
    case event_kind::identity: apply_identity(std::move(e)); break;
    case event_kind::info:
    case event_kind::unknown: ignore(std::move(e), "unknown"); break;
  }
  co_return result<void>{};
}

// The event has no effect. Nothing is lost by that, with one exception. A rev that seems to be from the future may be
// good, because our own clock may be wrong.
void applier::dismiss(kv_event e, std::string_view why) {
  if (why != "future_rev") return ignore(std::move(e), why);
  if (strict(e)) return drop(std::move(e), why);
  auto text = fmt::format("rev {} is of the future, by the clock of this machine", e.what->rev);
  skip_event(std::move(e), why, std::move(text));
}

namespace {

commit_journal::commit journal_entry(const atproto::repo_event& e) {
  commit_journal::commit out{.rev = e.rev, .data = e.data, .prev_data = e.prev_data, .paths = {}};
  for (const auto& c : e.changes) out.paths.push_back(c.collection + "/" + c.rkey);
  return out;
}

}  // namespace

task<result<void>> applier::apply_commit(kv_event e) {
  account& a = accounts_.use(e.what->did);
  if (const auto why = without_effect(a, e); !why.empty()) {
    dismiss(std::move(e), why);
    co_return result<void>{};
  }
  if (rules_.verify && e.framed && !has_verdict(e)) {
    drop(std::move(e), "invalid");
    co_return result<void>{};
  }
  note_verdict(a, e);
  if (lost_by_lateness(a, e) || e.worth == verdict::discontinuity) {
    skip_commit(std::move(e));
    co_return result<void>{};
  }
  if (const auto why = broken_chain(a, *e.what); !why.empty())
    desynchronise(a, e, why, "a commit is missing before rev " + e.what->rev, lacking::of_older);
  auto last = co_await apply_changes(a, e);
  if (!last) co_return last.error();
  if (a.journal) a.journal->add(journal_entry(*e.what));
  const bool only_progress = note_progress(a, e);
  counters_.add("commits");
  const auto durable_with = *last ? **last : out_.skip();
  if (only_progress)
    settles_.add_progress(durable_with, std::move(e), a);
  else
    settles_.add(durable_with, std::move(e), &a);
  co_return result<void>{};
}

// The commit is accepted as one of this account, but its records can't be applied.
void applier::skip_commit(kv_event e) {
  if (e.worth != verdict::discontinuity) {
    auto why = fmt::format("rev {} came after newer ones", e.what->rev);
    return skip_event(std::move(e), "late", std::move(why));
  }
  const auto flaw = e.what->proof->flaw;
  auto why = fmt::format("the tree of rev {} does not prove its ops: {}", e.what->rev, flaw);
  skip_event(std::move(e), flaw, std::move(why));
}

bool applier::has_verdict(const kv_event& e) {
  return e.what->proof && (e.worth == verdict::proven || e.worth == verdict::discontinuity);
}

// Notes in the account's state what is known about verification. Call it before the event is applied.
void applier::note_verdict(account& a, const kv_event& e) {
  auto& s = a.newest;
  if (!has_verdict(e)) {
    s.verified = false;
    return;
  }
  counters_.add("verdicts", atproto::name(e.worth));
  s.seen = std::max(s.seen, e.what->rev);
  if (!s.rev.empty() && !s.verified && !marked(s, "unverified"))
    mark(a, "unverified", fmt::format("its records up to rev {} were stored without verification", s.rev));
}

// What the account had before its first event is fetched, except in mode "live".
void applier::note_beginning(account& a) {
  if (rules_.begins == beginning::with_wanted || a.newest.followed) return;
  a.newest.followed = true;
  if (!a.newest.complete) mark(a, "listed", "its repo is being fetched");
}

// True: nothing else of the state has changed that must not be written before the commit's puts are durable.
bool applier::note_progress(account& a, kv_event& e) {
  auto& s = a.newest;
  const bool goes_on = !s.rev.empty() && s.filter == rules_.filter && s.status == "synchronised" && s.reasons.empty();
  if (s.rev.empty()) {
    s.begun = e.what->rev;
    s.verified = has_verdict(e);
    s.complete = e.what->proof && e.what->proof->from_empty;
    note_beginning(a);
  }
  if (s.filter != rules_.filter && !s.rev.empty()) s.complete = false;  // it was fetched for other collections
  s.rev = std::move(e.what->rev);
  s.data = std::move(e.what->data);
  s.filter = rules_.filter;
  return goes_on;
}

}  // namespace recordkv::stages
