#include "pipeline.hpp"

#include "recordkv/core/timestamp.hpp"
#include "repair/account_changes.hpp"

#include <utility>

namespace recordkv::stages {
namespace {

// A batch of states is read once accounts_at_once accounts are wanted. It is read even if fewer are wanted, after
// events_between_loads events, or when no event is left to take.
constexpr std::size_t accounts_at_once = 256, events_between_loads = 256;
// At most this many events go to the check of signatures together.
constexpr std::size_t events_in_chunk = 128;

}  // namespace

kv_pipeline::kv_pipeline(nats::inbox& in, nats::outbox& out, const state_port& states, event_decoder decode,
                         apply_rules rules, verification verify, repair repaired, pipeline_limits limits,
                         meters& counters)
    : in_(in),
      out_(out),
      decode_(std::move(decode)),
      limits_(limits),
      verifying_(rules.verify),
      verify_(std::move(verify)),
      accounts_(limits.cached_accounts),
      settles_(in, out, states, limits.gather, limits.unsettled_events, counters),
      apply_(
          out, accounts_, settles_, rules,
          [this](const account& a) {
            if (repairs_) repairs_->consider(a);
          },
          counters),
      loads_(states.load, accounts_, [this](const std::string& did) { release(did); }),
      keys_(
          verify_.identity, verify_.look_ups, [this](const std::string& did) { release(did); }, counters),
      holds_(accounts_, order_, loads_, settles_, [this] { changed_.notify(); }) {
  if (!repaired.port.get_repo) return;
  record_writer writer(out, rules.bucket, rules.partitions, counters);
  repairs_.emplace(holds_, settles_, std::move(writer), *verify_.pool, verify_.identity, std::move(repaired.port),
                   std::move(repaired.rules), counters);
}

std::optional<settlement::clock::time_point> kv_pipeline::oldest() const noexcept {
  const auto applied = settles_.oldest();
  return applied ? applied : applying_since_;
}

const std::string& kv_pipeline::last_error() const noexcept {
  return loads_.last_error().empty() ? settles_.last_error() : loads_.last_error();
}

bool kv_pipeline::full() const noexcept {
  return unsettled() >= limits_.unsettled_events ||
         order_.bytes() + chosen_bytes_ + settles_.unsettled_bytes() >= limits_.unsettled_bytes;
}

void kv_pipeline::release(const std::string& did) {
  order_.release(did);
  holds_.moved();
  changed_.notify();
}

task<result<void>> kv_pipeline::take() {
  result<void> taken, applied;
  nursery both(co_await asio::this_coro::executor);
  both.spawn(take_messages(taken));
  both.spawn(apply_events(applied));
  co_await both.join();
  co_return applied ? taken : applied;
}

task<> kv_pipeline::take_messages(result<void>& ended) {
  while (taking_ && !abandoned_) {
    if (full()) {
      co_await settles_.progress().wait();
      continue;
    }
    auto batch = co_await in_.next();
    if (!batch) {
      ended = batch.error();
      break;
    }
    for (auto& e : co_await decode_(std::move(*batch))) {
      order_.push(std::move(e));
      ++taken_;
    }
    changed_.notify();
  }
  taking_ = false;
  stop_repairs();
  changed_.notify();
}

// What a repair has not ended begins again at the next start.
void kv_pipeline::stop_repairs() noexcept {
  holds_.close();
  if (repairs_) repairs_->close();
}

task<> kv_pipeline::apply_events(result<void>& ended) {
  nursery waits(co_await asio::this_coro::executor);
  children_ = &waits;
  if (repairs_) waits.spawn(repairs_->run(waits));
  for (;;) {
    ended = co_await apply_ready(waits);
    // At the end, events that still wait for a key stay unacknowledged: a directory that is down must not delay it.
    if (!ended || abandoned_ || (!taking_ && loads_.idle())) break;
    co_await changed_.wait();
  }
  taking_ = false;
  keys_.close();
  stop_repairs();
  if (ended) {
    settles_.finish();
  } else {  // the outbox has failed, so no further message is taken
    in_.close();
  }
  settles_.progress().notify();
  children_ = nullptr;
  co_await waits.join();
}

// Applies what can be applied now.
task<result<void>> kv_pipeline::apply_ready(nursery& waits) {
  while (!abandoned_) {
    auto events = choose(waits);
    if (events.empty()) break;
    if (verifying_) co_await check_signatures(*verify_.pool, verify_.verify, events);
    auto applied = co_await apply_chunk(events, waits);
    holds_.moved();
    if (!applied) co_return applied;
  }
  co_return result<void>{};
}

// Takes events from account_order. If the state of an event's account is not in memory, the event is put aside. These
// states are read in batches. A state that was read never replaces one in memory (X9).
kv_pipeline::chunk kv_pipeline::choose(nursery& waits) {
  chunk events;
  while (events.size() < events_in_chunk) {
    auto e = order_.pop();
    const bool last = !e && loads_.wanted() == 0;
    const bool due = !e || loads_.wanted() >= accounts_at_once || ++popped_ % events_between_loads == 0;
    // Evict before loading: an account that was just loaded must not be evicted before its events are applied.
    if (due) accounts_.evict();
    if (last) break;
    if (due) loads_.start(waits);
    // Without an event, go round again: the load may already have ended, and released events.
    if (e) choose_one(std::move(*e), events, waits);
  }
  return events;
}

// Whether this event and those after it wait until the account is repaired. No event of the account is chosen then.
bool kv_pipeline::held_for_repair(account& a) {
  if (a.held != account::hold::wanted || a.chosen > 0) return false;
  a.held = account::hold::held;
  a.put_back = false;
  holds_.moved();
  return true;
}

void kv_pipeline::choose_one(kv_event e, chunk& into, nursery& waits) {
  const auto& did = e.what->did;
  if (!did.empty() && !accounts_.contains(did)) {
    loads_.want(did);
    order_.hold(std::move(e));
    return;
  }
  if (!did.empty() && held_for_repair(accounts_.use(did))) {
    order_.hold(std::move(e));
    return;
  }
  ++chosen_;
  chosen_bytes_ += e.bytes;
  auto& c = into.emplace_back(chosen_event{std::move(e)});
  if (c.e.what->did.empty()) return;
  c.of = &accounts_.use(c.e.what->did);
  ++c.of->chosen;
  c.of->put_back = false;
  if (!verifying_ || !apply_.needs_verdict(*c.of, c.e)) return;
  c.key = c.of->key;
  keys_.renew_if_old(*c.of, waits);
}

task<result<void>> kv_pipeline::apply_chunk(chunk& events, nursery& waits) {
  for (std::size_t i = 0; i < events.size() && !abandoned_; ++i) {
    if (events[i].moved || !judge(events, i, waits)) continue;
    applying_since_ = settlement::clock::now();
    auto applied = co_await apply_.apply(std::move(events[i].e));
    applying_since_.reset();
    put_down(events[i]);
    if (!applied) co_return applied;
  }
  co_return result<void>{};
}

void kv_pipeline::consider_stored(const std::string& did, std::int64_t next_try) {
  if (repairs_) repairs_->consider_stored(did, next_try);
}

task<result<void>> kv_pipeline::change_accounts(std::vector<std::string> dids, account_change what) {
  if (!repairs_) co_return fail(errc::unsupported, "accounts are not repaired (repos.repair = false)");
  const auto closed = [] { return fail(errc::closed, "kv: stopped"); };
  if (children_ == nullptr) co_return closed();
  for (const auto& did : dids)
    if (!accounts_.contains(did)) loads_.want(did);  // all of them in one reading
  std::vector<account*> pinned;
  std::uint64_t last = 0;
  for (auto& did : dids) {
    auto* const a = co_await holds_.pin(std::move(did), *children_);
    if (a == nullptr) break;
    pinned.push_back(a);
    if (!what(*a)) continue;
    last = settles_.add_state(out_.skip(), *a);
    repairs_->consider(*a);
  }
  const bool all = pinned.size() == dids.size();
  settles_.hurry();
  while (taking_ && !abandoned_ && !settles_.is_written(last)) co_await settles_.progress().wait();
  for (auto* a : pinned) holds_.unpin(*a);
  if (!all || !settles_.is_written(last)) co_return closed();
  co_return result<void>{};
}

task<result<void>> kv_pipeline::fulfil(kv::wish w) {
  std::vector<std::string> one{w.did};
  const auto wanted = w.what;
  co_return co_await change_accounts(std::move(one), [wanted](account& a) {
    change_as_wished(a, wanted, seconds_since_1970(std::chrono::system_clock::now()));
    return true;
  });
}

task<result<void>> kv_pipeline::settle() {
  auto settled = co_await settles_.run();
  if (settled.has_error()) abandon();  // take() may be waiting for room
  co_return settled;
}

void kv_pipeline::abandon() noexcept {
  abandoned_ = true;
  in_.close();
  settles_.abandon();
  loads_.abandon();
  keys_.close();
  stop_repairs();
  changed_.notify();
}

}  // namespace recordkv::stages
