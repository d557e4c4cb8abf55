#include "key_look_ups.hpp"

#include "event_rules.hpp"
#include "recordkv/core/timestamp.hpp"

#include <array>
#include <utility>

namespace recordkv::stages {

std::string_view word_of_look_up(const error& e) noexcept {
  switch (e.code) {
    case errc::not_found: return "did_not_found";
    case errc::malformed: return "did_document";
    default: return "identity";
  }
}

void keep_identity(account& a, const identity::account_identity& found, std::int64_t now) {
  a.newest.pds = found.pds;
  a.newest.handle = found.handle;
  a.newest.key_checked = now;
  a.look_up_failure = {};
}

std::string_view name(look_up_cause c) noexcept {
  constexpr std::array<std::string_view, 4> words{"no_key", "identity_event", "bad_signature", "old_key"};
  return words[static_cast<std::size_t>(c)];
}

key_look_ups::key_look_ups(identity_port port, look_up_rules rules, std::function<void(const std::string&)> answered,
                           meters& counters)
    : port_(std::move(port)), rules_(std::move(rules)), answered_(std::move(answered)), counters_(counters) {}

void key_look_ups::start(account& a, look_up_cause cause, nursery& into) {
  if (closed_) return;
  ++a.look_ups;
  queue_.push_back({&a, cause});
  if (under_way_ == rules_.at_once) return;
  ++under_way_;
  into.spawn(work());
}

void key_look_ups::renew_if_old(account& a, nursery& into) {
  if (renewing_ || !a.key || a.look_ups > 0 || !queue_.empty()) return;
  const auto checked = std::chrono::system_clock::time_point(std::chrono::seconds(a.newest.key_checked));
  if (rules_.now() - checked < rules_.max_age) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_renewal_) return;
  next_renewal_ = now + rules_.between_renewals;
  renewing_ = true;
  start(a, look_up_cause::old_key, into);
}

bool key_look_ups::doubt(account& a) const {
  const auto now = std::chrono::steady_clock::now();
  if (a.doubted && now - *a.doubted < rules_.between_doubts) return false;
  a.doubted = now;
  return true;
}

void key_look_ups::close() noexcept {
  closed_ = true;
  if (port_.close) port_.close();
  closing_.notify();
}

// Does one look-up after the other. A loop, not a recursion: thousands of answers in a row may come without a
// suspension.
task<> key_look_ups::work() {
  while (!closed_ && !queue_.empty()) {
    const auto next = queue_.front();
    queue_.pop_front();
    const bool done = co_await look_up(*next.of, next.cause);
    --next.of->look_ups;
    if (next.cause == look_up_cause::old_key)
      renewing_ = false;
    else if (done)
      answered_(next.of->newest.did);
  }
  --under_way_;
}

// False: the look-ups were closed.
task<bool> key_look_ups::look_up(account& a, look_up_cause cause) {
  if (cause == look_up_cause::identity_event && port_.changed) port_.changed(a.newest.did);
  if (is_forgotten(a.newest)) co_return !closed_;
  auto found = co_await ask(a, cause);
  if (cause == look_up_cause::bad_signature && found && found->key == a.newest.key) {
    if (!closed_) co_await closing_.wait_for(rules_.confirm_after);
    if (!closed_) found = co_await ask(a, cause);
  }
  if (closed_) co_return false;
  if (is_forgotten(a.newest)) co_return true;  // meanwhile
  if (found && !set_key(a, found->key)) found = fail(errc::malformed, "no_key");
  if (found) {
    const auto now = seconds_since_1970(rules_.now());
    keep_identity(a, *found, now);
    co_return true;
  }
  counters_.add("key_look_ups_failed", word_of_look_up(found.error()));
  if (cause == look_up_cause::no_key || cause == look_up_cause::bad_signature)
    a.look_up_failure = word_of_look_up(found.error());
  co_return true;
}

task<result<identity::account_identity>> key_look_ups::ask(const account& a, look_up_cause cause) {
  counters_.add("key_look_ups", name(cause));
  co_return co_await port_.look_up(a.newest.did);
}

}  // namespace recordkv::stages
