#include "output.hpp"

#include "commands.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>

namespace recordkv::cli {
namespace {

constexpr std::size_t buffer_size = 65'536;

struct {
  std::string buffer;
  int failure = 0;  // errno of the write that failed; nothing is written after it
  bool told = false;
} out;

// Returns 0, or the errno of the failure. Waits for a descriptor that another program made non-blocking.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
      (void)poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

bool reader_has_gone(int failure) { return failure == EPIPE || failure == ECONNRESET; }

bool to_terminal() {
  static const bool terminal = isatty(STDOUT_FILENO) != 0;
  return terminal;
}

void flush_buffer() {
  if (out.failure == 0) out.failure = write_all(STDOUT_FILENO, out.buffer);
  out.buffer.clear();
}

}  // namespace

void guard_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // gets the lowest free number, which is fd
  std::signal(SIGPIPE, SIG_IGN);
}

std::string marked(std::string_view colour, std::string s) {
  return to_terminal() ? fmt::format("\x1b[{}m{}\x1b[0m", colour, s) : s;
}

void write_text(std::string_view text) {
  if (out.failure != 0) return;
  out.buffer += text;
  if (to_terminal() || out.buffer.size() >= buffer_size) flush_buffer();
}

// A failure of standard error cannot be reported anywhere.
void write_error_text(std::string_view text) {
  flush_buffer();
  (void)write_all(STDERR_FILENO, text);
}

bool flush_output() {
  flush_buffer();
  if (out.failure == 0) return true;
  if (!reader_has_gone(out.failure) && !std::exchange(out.told, true))
    write_error("recordkv: the answer can't be written to standard output: {}\n",
                std::generic_category().message(out.failure));
  return false;
}

int exit_code_after_output(int code) {
  if (flush_output() || reader_has_gone(out.failure)) return code;
  return code == done ? no : code;
}

}  // namespace recordkv::cli
