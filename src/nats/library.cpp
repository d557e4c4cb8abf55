#include "library.hpp"

#include <nats/nats.h>
#include <sched.h>

namespace recordkv::nats {
namespace {

// New threads inherit the policy of the thread that makes them.
bool start() noexcept {
  constexpr pid_t this_thread = 0;
  sched_param normal{};
  const int policy = sched_getscheduler(this_thread);
  const sched_param batch{};
  const bool lowered = policy == SCHED_OTHER && sched_getparam(this_thread, &normal) == 0 &&
                       sched_setscheduler(this_thread, SCHED_BATCH, &batch) == 0;
  const bool opened = nats_Open(-1) == NATS_OK;
  if (lowered) sched_setscheduler(this_thread, policy, &normal);
  return opened;
}

}  // namespace

void open_library() noexcept { [[maybe_unused]] static const bool opened = start(); }

}  // namespace recordkv::nats
