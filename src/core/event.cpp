#include "recordkv/core/event.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <utility>

namespace recordkv {

struct event::waiter {
  explicit waiter(event& e, const asio::any_io_executor& ex) : timer(ex), owner(e), next(e.first_) {
    e.first_ = this;
    if (next) next->link = &next;
  }
  ~waiter() { unlink(); }
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;

  void unlink() noexcept {
    if (!link) return;
    *link = next;
    if (next) next->link = link;
    link = nullptr;
  }

  asio::steady_timer timer;
  event& owner;
  waiter* next;
  waiter** link = &owner.first_;  // the pointer to this waiter; null once woken
  bool notified = false;
};

event::~event() {
  while (first_) first_->unlink();
}

void event::notify() noexcept {
  while (waiter* w = first_) {
    w->unlink();
    w->notified = true;
    w->timer.cancel();
  }
}

task<> event::wait() { co_await wait_for(std::chrono::hours(24 * 365)); }

task<bool> event::wait_for(std::chrono::steady_clock::duration limit) {
  waiter self(*this, co_await asio::this_coro::executor);
  self.timer.expires_after(limit);
  co_await self.timer.async_wait(use_task);
  co_return self.notified;
}

}  // namespace recordkv
