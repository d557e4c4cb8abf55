// A start goes on while NATS does not answer: no answer is no verdict.
//
// Owns: trying a part of a start again until nats.start_timeout. Refuses to know: what is tried.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/stage.hpp"

#include <algorithm>

namespace recordkv::stages {

/// Calls `attempt`, a part of a start that can be made again from its beginning, until it has its answer: success, or
/// an error other than silence. `given_up()` ends the waiting, and so does the end of the start's time.
template <class Attempt, class Given>
task<result<void>> while_starting(const stage_context& ctx, std::string_view who, Attempt attempt, Given given_up) {
  constexpr std::chrono::milliseconds pause{300};
  event never;
  for (;;) {
    result<void> done = co_await attempt();
    if (done || !unanswered(done.error()) || given_up()) co_return done;
    if (std::chrono::steady_clock::now() > ctx.start_until) co_return done;
    log::warn(who, "{}; trying again", done.error().text);
    co_await never.wait_for(pause);
  }
}

}  // namespace recordkv::stages
