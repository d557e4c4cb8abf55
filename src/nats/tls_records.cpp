#include "tls_records.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <limits>

namespace recordkv::nats {
namespace {

constexpr int header = 5;
constexpr int largest_record = header + (1 << 14) + 256;
// A write also waits until TCP has taken all of its bytes. This timeout bounds what a dead peer may cost.
constexpr unsigned write_timeout_ms = 15'000;
// How much must fit into the socket. Part of a record stays in the kernel, and keeps the whole packet in which it
// came. On the loopback interface that is up to 17 pieces of 32 KiB. Without room for another packet the kernel closes
// the window.
constexpr int room = 1 << 20;

bool begins_record(unsigned char first) { return first >= 0x14 && first <= 0x17; }  // a protocol line: a letter

}  // namespace

void tls_records::attached(int socket) {
  socket_ = socket;
  kind_ = kind::unknown;
  wakes_at_ = 1;
}

std::size_t tls_records::ready() {
  constexpr auto all = std::numeric_limits<std::size_t>::max();
  if (kind_ == kind::plain) return all;
  unsigned char head[header];
  const auto n = ::recv(socket_, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n <= 0) return all;  // the end, or an error: nats.c must see it
  if (kind_ == kind::unknown) {
    kind_ = begins_record(head[0]) ? kind::tls : kind::plain;
    if (kind_ == kind::plain) return all;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_USER_TIMEOUT, &write_timeout_ms, sizeof write_timeout_ms);
    wake_at(room);  // Linux makes room and keeps it; SO_RCVBUF would be cut to rmem_max, and end its tuning
  }
  const int record = n < header ? header : header + head[3] * 256 + head[4];
  int there = 0;
  ::ioctl(socket_, FIONREAD, &there);
  if (record > largest_record) return all;  // no TLS any more: OpenSSL will report it
  if (n == header && there >= record) {
    wake_at(header);
    return static_cast<std::size_t>(record);
  }
  wake_at(record);
  return ended() ? all : 0;
}

// Sets how many bytes make the socket readable for poll() and epoll.
void tls_records::wake_at(int bytes) {
  if (wakes_at_ != bytes && ::setsockopt(socket_, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0)
    wakes_at_ = bytes;
}

bool tls_records::ended() const {
  pollfd p{.fd = socket_, .events = POLLRDHUP, .revents = 0};
  return ::poll(&p, 1, 0) > 0;
}

}  // namespace recordkv::nats
