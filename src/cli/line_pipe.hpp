// Standard output, standard input and other descriptors, which may block or end when they are pipes.
//
// Owns: waiting on the loop for the other side, noticing that the reader has gone, counting input lines.
// Does not know: what is written or read.
//
// Only what can block is waited for. A pipe or a terminal is opened again through /proc: the original descriptor is
// shared, and making it non-blocking would change it for other programs. A file is written directly.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace recordkv::cli {

class line_output {
 public:
  line_output(asio::io_context& io, int fd);
  /// Returns once all of it has been taken. errc::closed: the reader has gone, or close() was called meanwhile.
  task<result<void>> write(std::string_view text);
  /// True if there is a reader, which may go; a file has none.
  bool has_reader() const noexcept { return pipe_.is_open(); }
  /// Returns when the reader has gone or close() was called. Only with has_reader().
  task<> reader_gone();
  void close() noexcept;

 private:
  int fd_;
  asio::posix::stream_descriptor pipe_;  // open: writes go through it; otherwise directly to fd_
  bool closed_ = false;
};

class byte_input {
 public:
  byte_input(asio::io_context& io, int fd);
  /// What has come, valid until the next call; empty: the input has ended, or close() was called. errc::storage.
  task<result<std::string_view>> read();
  void close() noexcept;

 private:
  int fd_;
  asio::posix::stream_descriptor pipe_;
  bool closed_ = false;
  std::vector<char> buffer_;
};

class line_input {
 public:
  line_input(asio::io_context& io, int fd);
  /// How many lines have ended since the last call, at least one; 0: the input has ended, or close() was called.
  task<std::uint64_t> next();
  void close() noexcept { input_.close(); }

 private:
  byte_input input_;
};

}  // namespace recordkv::cli
