// What ends a get() before its answer: its time, a host that is silent, or close().
//
// Owns: the timers, the reason, and the one wait that must be ended. Does not know: what is waited for.
#pragma once

#include "recordkv/core/task.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace recordkv::http {

class cut_off : public std::enable_shared_from_this<cut_off> {
 public:
  enum class reason { none, late, silent, closed };

  explicit cut_off(const asio::any_io_executor& loop) : timer_(loop), silence_timer_(loop) {}

  void begin(std::chrono::milliseconds limit, std::optional<std::chrono::milliseconds> silence = {}) {
    timer_.expires_after(limit);
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
      if (const auto self = weak.lock(); self && !ec) self->end(reason::late);
    });
    silence_ = silence;
    heard();
    if (silence_) watch_silence();
  }
  /// The host has shown life.
  void heard() noexcept { heard_ = std::chrono::steady_clock::now(); }
  /// The answer is there: the timers hold up the loop no longer.
  void finish() {
    timer_.cancel();
    silence_timer_.cancel();
  }

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
  void watch_silence() {
    silence_timer_.expires_at(heard_ + *silence_);
    silence_timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
      if (const auto self = weak.lock(); self && !ec && !self->ended()) self->check_silence();
    });
  }
  void check_silence() {
    if (std::chrono::steady_clock::now() < heard_ + *silence_) return watch_silence();
    end(reason::silent);
  }

  asio::steady_timer timer_, silence_timer_;
  std::optional<std::chrono::milliseconds> silence_;
  std::chrono::steady_clock::time_point heard_;
  reason why_ = reason::none;
  std::function<void()> stop_;
};

}  // namespace recordkv::http
