// The pipeline's part between a verdict and the applier: what is applied, what waits for a key, what is dropped.
#include "pipeline.hpp"

#include <utility>

namespace recordkv::stages {

using atproto::event_kind;
using atproto::verdict;

// Whether the event may be applied now. If not, it was put back, dropped or given up.
bool kv_pipeline::judge(chunk& events, std::size_t at, nursery& waits) {
  auto& c = events[at];
  if (!verifying_ || !c.of) return true;
  if (c.e.what->kind == event_kind::identity && c.e.framed && c.of->known() && !c.e.looked_up) {
    c.e.looked_up = true;  // when the event comes again, its look-up has ended
    if (c.e.number <= c.of->announced) return true;
    c.of->announced = order_.pushed();  // the look-up answers all #identity events of this account until now
    wait_for_key(events, at, look_up_cause::identity_event, waits);
    return false;
  }
  return !apply_.needs_verdict(*c.of, c.e) || judge_signed(events, at, waits);
}

bool kv_pipeline::judge_signed(chunk& events, std::size_t at, nursery& waits) {
  auto& c = events[at];
  account& a = *c.of;
  if (!a.look_up_failure.empty() || (!a.key && !a.known() && directory_overwhelmed())) {
    const auto failure = std::exchange(a.look_up_failure, {});
    apply_.give_up(put_down(c), failure.empty() ? "identity" : failure);
    return false;
  }
  if (!a.key) {
    wait_for_key(events, at, look_up_cause::no_key, waits);
    return false;
  }
  // The event was not checked with the account's present key. Either the key has changed since the event was taken from
  // account_order. Or the event needed no check when it was taken, and needs one now, because an earlier event has
  // changed the account (has begun it, for example).
  if (c.key != a.key) {
    hold_from(events, at);
    release(a.newest.did);
    return false;
  }
  if (c.e.worth != verdict::bad_signature) return true;
  if (keys_.doubt(a))
    wait_for_key(events, at, look_up_cause::bad_signature, waits);
  else
    apply_.drop(put_down(c), "bad_signature");
  return false;
}

// While the directory fails, accounts without a state must not fill the pipeline with waiting events. Otherwise the
// events of all other accounts would wait, too.
bool kv_pipeline::directory_overwhelmed() const {
  return order_.waiting() > limits_.unsettled_events / 2 && !keys_.last_error().empty();
}

void kv_pipeline::wait_for_key(chunk& events, std::size_t at, look_up_cause cause, nursery& waits) {
  account& a = *events[at].of;
  hold_from(events, at);
  keys_.start(a, cause, waits);
}

// Puts the event back into account_order, then the later events of its account in the chunk. The account can't be
// released in between. It stays in memory until the event is taken again: a new key may be written nowhere else yet.
void kv_pipeline::hold_from(chunk& events, std::size_t at) {
  auto* of = events[at].of;
  of->put_back = true;
  for (auto i = at; i < events.size(); ++i)
    if (!events[i].moved && events[i].of == of) order_.hold(put_down(events[i]));
}

// Takes the event out of the chunk.
kv_event kv_pipeline::put_down(chosen_event& c) {
  --chosen_;
  chosen_bytes_ -= c.e.bytes;
  if (c.of) --c.of->chosen;
  c.moved = true;
  return std::move(c.e);
}

}  // namespace recordkv::stages
