// A wake-up without a message.
//
// Owns: the list of coroutines that wait for it.
// Does not know: what has happened. A waiter checks its condition in a loop: `while (!ready()) co_await e.wait();`
// Nothing is remembered: notify() without a waiter does nothing. One thread only, so no notify() can come between a
// check and a wait.
#pragma once

#include "recordkv/core/task.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <chrono>

namespace recordkv {

class event {
 public:
  event() = default;
  ~event();  // a coroutine that still waits stays suspended; it is destroyed with the loop
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Wakes every coroutine that waits now. The coroutines run later, from the loop. Never suspends.
  void notify() noexcept;

  /// Suspends until the next notify().
  task<> wait();

  /// Suspends until the next notify() or until `limit` has passed; true if it was notify().
  task<bool> wait_for(std::chrono::steady_clock::duration limit);

 private:
  struct waiter;  // lives in the frame of the waiting coroutine
  waiter* first_ = nullptr;
};

}  // namespace recordkv
