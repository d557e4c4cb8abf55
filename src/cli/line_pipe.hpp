// Standard output and standard input as what they are in a pipe: something that may stand still, and end.
//
// Owns: waiting on the loop for a slow reader, noticing that one has gone, counting the lines that come in.
// Refuses to know: what is written.
//
// Only what can stand still is waited for: a pipe or a terminal is opened anew through /proc, since making it
// non-blocking as it is would do so for every program that shares it. A file is written to straight away.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <cstdint>
#include <string_view>

namespace recordkv::cli {

class line_output {
 public:
  line_output(asio::io_context& io, int fd);
  /// Returns when all of it has been taken. errc::closed: the reader has gone, or close() was called meanwhile.
  task<result<void>> write(std::string_view text);
  /// True for what has a reader, who may go; a file has none.
  bool has_reader() const noexcept { return pipe_.is_open(); }
  /// Returns when the reader has gone or close() was called. Only with has_reader().
  task<> reader_gone();
  void close() noexcept;

 private:
  int fd_;
  asio::posix::stream_descriptor pipe_;  // open: written through it; else straight to fd_
  bool closed_ = false;
};

class line_input {
 public:
  line_input(asio::io_context& io, int fd);
  /// How many lines have come to an end since the last call, at least one; 0: the input has ended, or close().
  task<std::uint64_t> next();
  void close() noexcept;

 private:
  int fd_;
  asio::posix::stream_descriptor pipe_;
  bool closed_ = false;
};

}  // namespace recordkv::cli
