// A wake-up without a message.
//
// Owns: the list of coroutines that wait for it.
// Refuses to know: what has happened. Waiters look for themselves, in a loop: `while (!ready()) co_await e.wait();`
// Nothing is remembered: notify() with nobody waiting does nothing. One thread only, so a look and a wait
// cannot be separated by a notify().
#pragma once

#include "recordkv/core/task.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <chrono>

namespace recordkv {

class event {
 public:
  event() = default;
  ~event();  // who still waits stays suspended for good: its coroutine goes with the loop
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Wakes every coroutine that waits now. They run later, from the loop. Never suspends.
  void notify() noexcept;

  /// Suspends until the next notify().
  task<> wait();

  /// Suspends until the next notify() or until `limit` has passed; true if it was notify().
  task<bool> wait_for(std::chrono::steady_clock::duration limit);

 private:
  struct waiter;  // stands in the frame of the waiting coroutine
  waiter* first_ = nullptr;
};

}  // namespace recordkv
