// Reports the state of this process to systemd: ready, waiting, stopping.
//
// Owns: the protocol of sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names. Without it nothing is sent.
// Does not know: systemd's library. The protocol is stable and documented for use without it (sd_notify(3),
// "standalone implementations"), and a container has no use for libsystemd.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace recordkv::cli {

void notify_ready();
void notify_stopping();
/// The start goes on for a good reason: extends its time limit by `more`, and shows `status`.
void notify_waiting(std::string_view status, std::chrono::seconds more);

}  // namespace recordkv::cli
