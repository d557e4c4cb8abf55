#include "stale_write_guard.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>

namespace recordkv::nats {
namespace {

// For half a lease after its last renewal, a process writes without asking. That period and max_age together are less
// than a lease. No other process can therefore have acquired the lease before the bytes are dropped.
constexpr std::chrono::milliseconds max_age{2000};

void linger(int socket, bool on) {
  const ::linger how{.l_onoff = on, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &how, sizeof how);
}

}  // namespace

void stale_write_guard::attached(int socket) {
  socket_ = socket;
  marks_.clear();
  linger(socket, true);
}

void stale_write_guard::spare(int socket) noexcept { linger(socket, false); }

// shutdown() would send the queue first.
void stale_write_guard::cut(int socket) noexcept {
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  [[maybe_unused]] const int ended = ::connect(socket, &nobody, sizeof nobody);
}

// A few marks a second are enough: bytes that follow a mark within 50 ms count as old as that mark.
void stale_write_guard::published(std::uint64_t end, time now) {
  if (marks_.empty() || now - marks_.back().at > std::chrono::milliseconds(50))
    marks_.push_back({end, now});
  else
    marks_.back().end = end;
}

// With TLS the kernel's queue also holds TLS's own bytes. More of our bytes then seem to be in the queue than are.
bool stale_write_guard::late(std::uint64_t written, time now) {
  if (marks_.empty() || now - marks_.front().at <= max_age) return false;
  int with_kernel = 0;
  ::ioctl(socket_, SIOCOUTQ, &with_kernel);
  const auto there = written - std::min(written, static_cast<std::uint64_t>(std::max(0, with_kernel)));
  while (!marks_.empty() && marks_.front().end <= there) marks_.pop_front();
  return !marks_.empty() && now - marks_.front().at > max_age;
}

}  // namespace recordkv::nats
