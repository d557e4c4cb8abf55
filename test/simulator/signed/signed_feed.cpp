#include "signed_feed.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace recordkv::sim {
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t slice = 200;       // as many as are made between two looks at the sockets
constexpr std::uint64_t horizon = 20'000;  // planned faults of a run without end have happened by then

}  // namespace

signed_feed::signed_feed(const pace& q) : pace_(q), history_(q.window, opcode::binary) {}

void signed_feed::append(std::uint64_t seq, std::string_view message) {
  last_seq_ = std::max(last_seq_, seq);
  history_.append(message, last_seq_, 0);
}

void signed_feed::begin(maker m, std::function<void()> when_finished) {
  make_ = std::move(m);
  when_finished_ = std::move(when_finished);
  make(total() > 0 ? std::min(pace_.past, total()) : pace_.past);
}

// The last tenth of a run is free of planned faults, so that a later commit shows what a fault did.
std::uint64_t signed_feed::left() const noexcept {
  const std::uint64_t end = total() > 0 ? total() - total() / 10 : horizon;
  return end > emitted() ? end - emitted() : 1;
}

void signed_feed::make(std::uint64_t end) {
  const bool was_finished = finished();
  while (emitted() < end && !ended_) ended_ = !make_(left());
  happened_.notify();
  if (finished() && !was_finished && when_finished_) when_finished_();
}

void signed_feed::want_more() {
  if (pace_.rate != 0 || finished()) return;
  const std::uint64_t end = emitted() + slice;
  make(total() > 0 ? std::min(end, total()) : end);
}

void signed_feed::emit(std::uint64_t n) {
  const std::uint64_t end = emitted() + n;
  if (total() > 0) pace_.events = std::max(total(), end);
  make(end);
}

task<> signed_feed::run() {
  if (pace_.rate == 0) co_return;
  while (pace_.wait_for_client && !attended_) co_await happened_.wait();
  asio::steady_timer timer(co_await asio::this_coro::executor);
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t before = emitted();
  while (!finished()) {
    const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
    std::uint64_t due = before + static_cast<std::uint64_t>(passed.count()) * pace_.rate / 1'000'000;
    if (total() > 0) due = std::min(due, total());
    const bool behind = due > emitted() + slice;
    make(std::min(due, emitted() + slice));
    timer.expires_after(behind ? 0ms : 5ms);
    co_await timer.async_wait(use_task);
  }
}

}  // namespace recordkv::sim
