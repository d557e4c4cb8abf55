#include "perishable.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>

namespace recordkv::nats {
namespace {

// Together with the half lease for which an owner writes without asking (kv::lease::fresh) it is less than a lease:
// nobody else can have taken his place meanwhile.
constexpr std::chrono::milliseconds longest{2000};

void linger(int socket, bool on) {
  const ::linger how{.l_onoff = on, .l_linger = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &how, sizeof how);
}

}  // namespace

void perishable::attached(int socket) {
  socket_ = socket;
  marks_.clear();
  linger(socket, true);
}

void perishable::spare(int socket) noexcept { linger(socket, false); }

// Not shutdown(), which lets the queue go out first.
void perishable::cut(int socket) noexcept {
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  [[maybe_unused]] const int ended = ::connect(socket, &nobody, sizeof nobody);
}

// A few marks a second are enough: those that come soon after one count as old as it.
void perishable::published(std::uint64_t end, time now) {
  if (marks_.empty() || now - marks_.back().at > std::chrono::milliseconds(50))
    marks_.push_back({end, now});
  else
    marks_.back().end = end;
}

// The kernel counts TLS's bytes, too: then a few more of ours seem to be with it than are.
bool perishable::late(std::uint64_t written, time now) {
  if (marks_.empty() || now - marks_.front().at <= longest) return false;
  int with_kernel = 0;
  ::ioctl(socket_, SIOCOUTQ, &with_kernel);
  const auto there = written - std::min(written, static_cast<std::uint64_t>(std::max(0, with_kernel)));
  while (!marks_.empty() && marks_.front().end <= there) marks_.pop_front();
  return !marks_.empty() && now - marks_.front().at > longest;
}

}  // namespace recordkv::nats
