#include "interruption.hpp"

#include <csignal>

namespace recordkv::cli {

interruption::interruption(asio::io_context& io) {
  signals_.emplace(io, SIGINT, SIGTERM);
  signals_->async_wait([state = state_](boost::system::error_code ec, int) {
    if (!ec) happen(*state);
  });
}

void interruption::happen() { happen(*state_); }

void interruption::happen(shared& s) {
  s.happened = true;
  s.woken.notify();
}

task<> interruption::pause(std::chrono::steady_clock::duration length) {
  if (!happened()) co_await state_->woken.wait_for(length);
}

}  // namespace recordkv::cli
