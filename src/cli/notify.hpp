// What systemd is told of this process: ready, waiting, stopping.
//
// Owns: the protocol of sd_notify(3), datagrams to the socket named by NOTIFY_SOCKET; nothing when it is not set.
// Refuses to know: systemd's library. The protocol is stable and documented for being spoken without it (sd_notify(3),
// "standalone implementations"), and a container has no use for libsystemd.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace recordkv::cli {

void notify_ready();
void notify_stopping();
/// Still starting, and for good reason: the start-up's time limit is extended by `more`, and `status` shown.
void notify_waiting(std::string_view status, std::chrono::seconds more);

}  // namespace recordkv::cli
