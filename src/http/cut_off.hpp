// What ends a get() before its answer: its time, or close().
//
// Owns: the timer, the reason, and the one wait that must be ended. Does not know: what is waited for.
#pragma once

#include "recordkv/core/task.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace recordkv::http {

class cut_off : public std::enable_shared_from_this<cut_off> {
 public:
  enum class reason { none, late, closed };

  explicit cut_off(const asio::any_io_executor& loop) : timer_(loop) {}

  void begin(std::chrono::milliseconds limit) {
    timer_.expires_after(limit);
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
      if (const auto self = weak.lock(); self && !ec) self->end(reason::late);
    });
  }
  /// The answer is there: the timer holds up the loop no longer.
  void finish() { timer_.cancel(); }

  void end(reason why) {
    if (why_ == reason::none) why_ = why;
    if (stop_) stop_();
  }
  reason why() const noexcept { return why_; }
  bool ended() const noexcept { return why_ != reason::none; }

  /// While it lives, `stop` ends the wait that is under way.
  class wait {
   public:
    wait(cut_off& owner, std::function<void()> stop) : owner_(owner) { owner.stop_ = std::move(stop); }
    ~wait() { owner_.stop_ = nullptr; }
    wait(const wait&) = delete;
    wait& operator=(const wait&) = delete;

   private:
    cut_off& owner_;
  };

 private:
  asio::steady_timer timer_;
  reason why_ = reason::none;
  std::function<void()> stop_;
};

}  // namespace recordkv::http
