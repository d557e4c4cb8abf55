// The start of nats.c, and the scheduling of its threads.
//
// Owns: nothing; nats.c ends with the process.
// Does not know: connections.
#pragma once

namespace recordkv::nats {

/// Starts nats.c. Call it before any other function of nats.c; only the first call of a process has an effect.
///
/// nats.c frees each received message on a thread of its own, and wakes that thread for each. Such a thread would
/// preempt the loop every time. Therefore nats.c's threads get the policy SCHED_BATCH (sched(7)), under which a thread
/// that wakes up preempts no other. The calling thread keeps its policy. A system that refuses the policy costs speed
/// only.
void open_library() noexcept;

}  // namespace recordkv::nats
