// How many requests may be under way, and when the next one may begin.
//
// Owns: the places, and the queue for them. After failures of the directory also its pace: fewer requests, and later.
// Does not know: what is requested. One thread.
#pragma once

#include "recordkv/core/backoff.hpp"
#include "recordkv/core/event.hpp"

#include <chrono>
#include <list>
#include <optional>

namespace recordkv::identity {

class request_gate {
 public:
  using clock = std::chrono::steady_clock;
  using ms = std::chrono::milliseconds;

  /// `one_host`: all requests go to the same host. The host's failures then slow all requests down, and its answers
  /// give the queued requests more time.
  struct rule {
    std::size_t places;
    ms patience;
    bool one_host;
  };
  explicit request_gate(rule r) : rule_(r), allowed_(r.places) {}

  /// Suspends until there is a place. False: there was none in time, or close() was called. `since`: when the caller
  /// began. Its patience counts from then, or from the host's last answer if that is later.
  task<bool> enter(clock::time_point since);
  void leave_answered();
  /// `stay_away`: the pause that the host asked for.
  void leave_failed(std::optional<ms> stay_away);

  clock::time_point patience_ends(clock::time_point since) const;
  void close() noexcept;

 private:
  struct waiter {
    event woken;
  };
  void wake_first();
  bool open(clock::time_point now) const { return used_ < allowed_ && now >= paused_until_; }

  rule rule_;
  std::size_t allowed_;  // places at present
  std::size_t used_ = 0;
  std::list<waiter*> queue_;  // waiters live in their coroutines
  clock::time_point paused_until_;
  clock::time_point last_answer_;
  backoff pause_{ms(250), ms(5'000)};
  bool closed_ = false;
};

}  // namespace recordkv::identity
