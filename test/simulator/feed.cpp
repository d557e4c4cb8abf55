#include "feed.hpp"

#include "jetstream.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <chrono>

namespace recordkv::sim {
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t slice = 2'000;  // as many as are made between two looks at the sockets

}  // namespace

feed::feed(const parameters& p, const pace& q) : pace_(q), world_(p), history_(q.events == 0 ? q.window : 0) {
  // What has an end is made at once, so that serving it costs nothing but sending.
  generate(endless() ? pace_.past : pace_.events);
  emitted_ = std::min(pace_.past, history_.end());
  if (!endless() && pace_.rate == 0 && !pace_.wait_for_client && !pace_.on_time) emitted_ = pace_.events;
}

void feed::generate(std::uint64_t end) {
  while (history_.end() < end) {
    if (step_ == nullptr) step_ = &world_.next(), told_ = 0;
    const bool commit = step_->kind == step_kind::commit;
    text_.clear();
    append_jetstream(text_, *step_, told_, world_.did(step_->account));
    history_.append(text_, commit ? step_->ops[told_].time_us : step_->time_us,
                    commit ? static_cast<std::uint16_t>(step_->ops[told_].where) : about_account);
    if (++told_ == step_->events()) step_ = nullptr;
  }
}

void feed::want_more() {
  if (pace_.rate != 0 || !endless()) return;
  generate(emitted_ + slice);
  emitted_ += slice;
  happened_.notify();
}

task<> feed::run() {
  while (pace_.wait_for_client && !attended_) co_await happened_.wait();
  if (pace_.on_time) co_return co_await keep_time();
  if (pace_.rate == 0) {
    if (!endless()) emitted_ = pace_.events;
    happened_.notify();
    co_return;
  }
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t before = emitted_;
  while (endless() || emitted_ < pace_.events) {
    const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
    std::uint64_t due = before + static_cast<std::uint64_t>(passed.count()) * pace_.rate / 1'000'000;
    if (endless())
      generate(due = std::min(due, emitted_ + slice));  // later is better than deaf
    else
      due = std::min(due, pace_.events);
    const bool behind = due == emitted_ + slice;
    if (due > emitted_) emitted_ = due, happened_.notify();
    timer.expires_after(behind && endless() ? 0ms : 5ms);
    co_await timer.async_wait(use_task);
  }
}

task<> feed::keep_time() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (emitted_ < pace_.events) {
    const auto now =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch());
    const std::uint64_t due = std::max(emitted_, history_.find(static_cast<std::uint64_t>(now.count()) + 1));
    if (due > emitted_) emitted_ = due, happened_.notify();
    timer.expires_after(500us);
    co_await timer.async_wait(use_task);
  }
}

}  // namespace recordkv::sim
