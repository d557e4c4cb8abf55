#include "notify.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace recordkv::cli {
namespace {

// If no program listens, the message is lost; there is no place for an error.
void tell(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un to{.sun_family = AF_UNIX};
  if (!path || !*path || std::strlen(path) >= sizeof to.sun_path) return;
  std::memcpy(to.sun_path, path, std::strlen(path));
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';  // the abstract namespace
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  (void)sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), length);
  close(fd);
}

}  // namespace

void notify_ready() { tell("READY=1\nSTATUS=running"); }
void notify_stopping() { tell("STOPPING=1\nSTATUS=settling what is in flight"); }

void notify_waiting(std::string_view status, std::chrono::seconds more) {
  const auto limit = std::chrono::duration_cast<std::chrono::microseconds>(more).count();
  tell(fmt::format("EXTEND_TIMEOUT_USEC={}\nSTATUS={}", limit, status));
}

}  // namespace recordkv::cli
