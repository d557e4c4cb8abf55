#include "repairs.hpp"

#include "../accounts/event_rules.hpp"
#include "host_place.hpp"
#include "loss_marks.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/timestamp.hpp"

#include <algorithm>
#include <utility>

namespace recordkv::stages {

using namespace std::chrono_literals;

namespace {

// After a host has said that there were too many requests.
constexpr auto shortest_pause = 250ms;
// Between two readings of the states while the queue is full.
constexpr auto between_readings = 10min;
// A DID document that is older than this is asked for again before an account is fetched.
constexpr auto max_identity_age = std::chrono::hours(24);

}  // namespace

repairs::repairs(account_holds& holds, settlement& settles, record_writer writer, worker_pool& pool,
                 identity_port identity, repair_port port, repair_rules rules, meters& counters)
    : holds_(holds),
      settles_(settles),
      writer_(std::move(writer)),
      pool_(pool),
      identity_(std::move(identity)),
      port_(std::move(port)),
      rules_(std::move(rules)),
      counters_(counters),
      queue_(rules_.max_waiting),
      hosts_(rules_.hosts),
      place_waits_(rules_.max_waiting) {}

std::int64_t repairs::seconds_now() const { return seconds_since_1970(rules_.now()); }

bool repairs::needs_repair(const kv::repo_state& s) const {
  if (is_to_be_cleared(s)) return true;
  const bool asked = marked(s, "asked") || marked(s, "added");
  if (!rules_.every_account && !s.followed && !asked) return false;
  return s.stale() || is_unconfirmed(s);
}

// When the account may be repaired: not before its next try, and its PDS is asked for the same thing at most once
// within `between` (X14).
repairs::clock::time_point repairs::due(const account& a) const {
  const auto& s = a.newest;
  auto at = clock::time_point(std::chrono::seconds(s.next_try));
  if (is_to_be_cleared(s)) return at;
  if (is_unconfirmed(s)) return std::max(at, a.confirmed + rules_.between);
  if (marked(s, "asked") || marked(s, "added")) return at;
  const auto resynced = clock::time_point(std::chrono::seconds(s.resynced));
  return std::max({at, a.fetched + rules_.between, resynced + rules_.between});
}

void repairs::consider(const account& a) {
  note_loss(a);
  if (closed_ || !needs_repair(a.newest)) return;
  place_waits_.remove(a.newest.did);  // what it needs now may be something else, or at another host
  queue_.add(a.newest.did, due(a));
  woken_.notify();
}

// An account that is marked because of a loss counts as open until the mark is gone.
void repairs::note_loss(const account& a) {
  if (marked_by_loss(a.newest) && needs_repair(a.newest)) return loss_.open(a.newest.did);
  const auto before = loss_.now().checked;
  const auto line = loss_.close(a.newest.did);
  counters_.add("after_loss", "checked", loss_.now().checked - before);
  if (!line.empty()) log::info("kv", "{}", line);
}

void repairs::consider_stored(const std::string& did, std::int64_t next_try) {
  queue_.add(did, clock::time_point(std::chrono::seconds(next_try)));
  woken_.notify();
}

task<> repairs::run(nursery& into) {
  while (!closed_) {
    while (queue_.under_repair() < rules_.at_once) {
      auto did = queue_.take(rules_.now());
      if (!did) break;
      into.spawn(repair(std::move(*did), into));
    }
    overflow_ = queue_.overflowed() || overflow_;
    if (overflow_ && may_read_states()) into.spawn(find_more());
    const auto next = queue_.next();
    const auto longest = overflow_ ? clock::duration(own_pause) : clock::duration(1h);
    if (next && queue_.under_repair() < rules_.at_once)
      co_await woken_.wait_for(std::clamp<clock::duration>(*next - rules_.now(), 1ms, longest));
    else if (overflow_)
      co_await woken_.wait_for(longest);
    else
      co_await woken_.wait();
  }
}

// Accounts may fill the queue that wait for hosts that are gone for good. The others must not wait for those.
bool repairs::may_read_states() const {
  if (reading_ || rules_.now() < retry_reading_ || due() >= rules_.max_waiting / 2) return false;
  return queue_.waiting() < rules_.max_waiting / 2 || rules_.now() - read_ >= between_readings;
}

// The states are the queue: what did not fit into memory is read again.
task<> repairs::find_more() {
  reading_ = true;
  overflow_ = false;
  auto read =
      co_await port_.stored([this](const std::string& did, std::int64_t next_try) { consider_stored(did, next_try); });
  reading_ = false;
  read_ = rules_.now();
  if (!read) {
    overflow_ = true;
    retry_reading_ = read_ + own_pause;
  }
  woken_.notify();
}

task<> repairs::repair(std::string did, nursery& into) {
  if (const auto* host = place_waits_.host_of(did)) {
    if (!hosts_.has_place(*host, xrpc::host_budget::clock::now())) {
      queue_.done(did);
      queue_.add(did, rules_.now() + place_pause(*host));
      co_return;
    }
    place_waits_.remove(did);
  }
  auto* const a = co_await holds_.pin(did, into);
  if (a != nullptr) {
    if (needs_repair(a->newest) && due(*a) <= rules_.now()) {
      auto out = co_await attempt(*a);
      finish(*a, out);
      note_loss(*a);
    } else {
      consider(*a);  // it was not due yet
    }
    holds_.unpin(*a);
  }
  queue_.done(did);
  woken_.notify();
}

void repairs::finish(account& a, const outcome& out) {
  using kind = outcome::kind;
  a.journal.reset();
  if (a.held != account::hold::none) holds_.let_go(a);
  if (closed_ || out.what == kind::stopped) return;
  if (out.what == kind::later) {
    counters_.add("repairs", "later");
    queue_.add(a.newest.did, rules_.now() + out.pause);
    return;
  }
  if (out.what == kind::failed) note_failure(a, out);
  consider(a);  // it may have been marked anew, or has failed
}

void repairs::note_failure(account& a, const outcome& out) {
  auto& s = a.newest;
  ++s.tries;
  s.error = out.text;
  const auto next = (rules_.now() + retry_pause(s.tries)).time_since_epoch();
  s.next_try = std::chrono::ceil<std::chrono::seconds>(next).count();
  note_gone(s, out.word);
  counters_.add("repairs", out.word);
  settles_.add_state(writer_.out().skip(), a);
  if (const auto n = told_.count(out.word, rate_limited::clock::now()))
    log::warn("kv", "{} repair{} failed for {}, the last of {}: {}; tried again", n, n == 1 ? "" : "s", out.word, s.did,
              out.text);
}

// The host or the directory says that the account does not exist, and no #account has said that it was deleted: that
// event may have been missed. A host that was set back to an old copy says the same. So the account counts as deleted
// only once that has been the answer for as long as a deletion waits for its confirmation (X15). Then it is confirmed.
void repairs::note_gone(kv::repo_state& s, std::string_view word) const {
  if (s.status != "desynchronised") return;
  if (word != "repo_not_found" && word != "repo_deleted" && word != "did_not_found") {
    s.removing_since = 0;
    return;
  }
  if (s.removing_since == 0) s.removing_since = seconds_now();
  if (seconds_now() - s.removing_since < rules_.patience.count()) return;
  s.status = "removing";
  s.upstream_status = "deleted";
  s.removing_since = seconds_now();
  s.tries = 0;
  s.next_try = 0;
}

// Between three quarters and all of first_retry · 2^(tries - 1), at most 60 times first_retry.
repairs::clock::duration repairs::retry_pause(unsigned tries) {
  const auto doubled = rules_.first_retry * (std::int64_t{1} << std::min(tries - 1, 6U));
  const auto whole = std::min<std::chrono::milliseconds>(doubled, rules_.first_retry * 60);
  return whole - whole / 4 * static_cast<std::int64_t>(random_() % 1000) / 1000;
}

task<repairs::outcome> repairs::attempt(account& a) {
  if (is_to_be_cleared(a.newest)) co_return co_await clear(a, "removed", is_to_be_cleared);
  if (is_unconfirmed(a.newest)) {
    auto confirmed = co_await confirm(a);
    if (confirmed.what != outcome::kind::done) co_return confirmed;
  }
  if (!a.newest.stale() || is_away(a.newest) || due(a) > rules_.now()) co_return outcome{};
  if (only_source_gap(a.newest))
    if (auto checked = co_await check_latest(a)) co_return *checked;
  co_return co_await resync(a);
}

// Gets the account's key and PDS. `afresh`: also if they are known.
task<repairs::outcome> repairs::identify(account& a, bool afresh) {
  const auto age = rules_.now() - clock::time_point(std::chrono::seconds(a.newest.key_checked));
  if (!afresh && a.key && !a.newest.pds.empty() && age < max_identity_age && a.newest.tries == 0) co_return outcome{};
  auto found = co_await identity_.look_up(a.newest.did);
  if (closed_ || (!found && found.error().code == errc::closed)) co_return stopped();
  if (!found) co_return failed(word_of_look_up(found.error()), "looking up its DID document: " + found.error().text);
  if (!set_key(a, found->key)) co_return failed("did_document", "its DID document names no usable signing key");
  keep_identity(a, *found, seconds_now());
  if (a.newest.pds.empty()) co_return failed("no_pds", "its DID document names no PDS");
  co_return outcome{};
}

repairs::outcome repairs::wait_for_place(const account& a) {
  place_waits_.add(a.newest.did, a.newest.pds);
  return {.what = outcome::kind::later, .pause = place_pause(a.newest.pds)};
}

repairs::clock::duration repairs::place_pause(const std::string& host) const {
  const auto now = xrpc::host_budget::clock::now();
  const auto until = hosts_.paused_until(host, now);
  return std::max<clock::duration>(longest_place_pause, until.value_or(now) - now);
}

// A place is free. The account that has waited longest for its host is repaired next.
void repairs::give_place() {
  const auto now = xrpc::host_budget::clock::now();
  if (auto did = place_waits_.take([&](const std::string& host) { return hosts_.has_place(host, now); }))
    queue_.add(*did, clock::time_point{});
  woken_.notify();
}

repairs::outcome repairs::outcome_of(const std::string& host, const xrpc::pds_client::failure& f) {
  if (f.code == errc::closed) return stopped();
  if (f.stay_away.count() > 0) hosts_.pause(host, xrpc::host_budget::clock::now() + f.stay_away);
  if (f.word == "rate_limited")
    return {.what = outcome::kind::later, .pause = std::max<clock::duration>(f.stay_away, shortest_pause)};
  if (f.word == "no_memory") return {.what = outcome::kind::later, .pause = own_pause};
  return failed(f.word, f.text);
}

void repairs::close() noexcept {
  closed_ = true;
  if (port_.close) port_.close();
  woken_.notify();
}

}  // namespace recordkv::stages
