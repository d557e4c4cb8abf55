#include "line_pipe.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace recordkv::cli {
namespace {

void reopen(asio::posix::stream_descriptor& into, int fd, int mode) {
  struct stat what{};
  if (fstat(fd, &what) != 0) return;
  int mine = -1;
  if (S_ISFIFO(what.st_mode) || isatty(fd) != 0)
    mine = open(fmt::format("/proc/self/fd/{}", fd).c_str(), mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  else if (S_ISSOCK(what.st_mode))
    mine = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (mine < 0) return;
  boost::system::error_code ec;
  into.assign(mine, ec);
  if (ec) ::close(mine);
}

result<void> write_straight(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
    if (n < 0 && errno == EPIPE) return fail(errc::closed, "the reader has gone");
    if (n < 0 && errno != EINTR)
      return fail(errc::storage, "standard output: {}",
                  boost::system::error_code(errno, boost::system::system_category()).message());
  }
  return {};
}

}  // namespace

line_output::line_output(asio::io_context& io, int fd) : fd_(fd), pipe_(io) { reopen(pipe_, fd, O_WRONLY); }

task<result<void>> line_output::write(std::string_view text) {
  if (closed_) co_return fail(errc::closed, "the reader has gone");
  if (!pipe_.is_open()) co_return write_straight(fd_, text);
  auto [ec, n] = co_await asio::async_write(pipe_, asio::buffer(text), use_task);
  if (closed_ || ec == asio::error::broken_pipe || ec == asio::error::connection_reset)
    co_return fail(errc::closed, "the reader has gone");
  if (ec) co_return fail(errc::storage, "standard output: {}", ec.message());
  co_return result<void>{};
}

task<> line_output::reader_gone() { co_await pipe_.async_wait(asio::posix::stream_descriptor::wait_error, use_task); }

// Closed, not cancelled: a write of several pieces may be between two of them, and would begin the next one.
void line_output::close() noexcept {
  closed_ = true;
  boost::system::error_code ignored;
  pipe_.close(ignored);
}

byte_input::byte_input(asio::io_context& io, int fd) : fd_(fd), pipe_(io), buffer_(65'536) {
  reopen(pipe_, fd, O_RDONLY);
}

task<result<std::string_view>> byte_input::read() {
  if (closed_) co_return std::string_view{};
  if (pipe_.is_open()) {
    auto [ec, n] = co_await pipe_.async_read_some(asio::buffer(buffer_), use_task);
    if (closed_ || ec == asio::error::eof) co_return std::string_view{};
    if (ec) co_return fail(errc::storage, "{}", ec.message());
    co_return std::string_view(buffer_.data(), n);
  }
  ssize_t n = 0;
  do n = ::read(fd_, buffer_.data(), buffer_.size());
  while (n < 0 && errno == EINTR);
  if (n < 0) co_return fail(errc::storage, "{}", std::generic_category().message(errno));
  co_return std::string_view(buffer_.data(), static_cast<std::size_t>(n));
}

void byte_input::close() noexcept {
  closed_ = true;
  boost::system::error_code ignored;
  pipe_.close(ignored);
}

line_input::line_input(asio::io_context& io, int fd) : input_(io, fd) {}

task<std::uint64_t> line_input::next() {
  for (;;) {
    const auto bytes = co_await input_.read();
    if (!bytes || bytes->empty()) co_return 0;
    if (const auto lines = std::ranges::count(*bytes, '\n'); lines > 0) co_return static_cast<std::uint64_t>(lines);
  }
}

}  // namespace recordkv::cli
