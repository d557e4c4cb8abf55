// Where `frames` reads from: a recording in a file or on standard input, or a live host.
//
// Owns: telling these apart, reading without blocking the loop, how an input ends.
// Does not know: what a message means. A live host is dialled once: a tool for finding faults shows a lost connection
// instead of hiding it.
#pragma once

#include "frame_checks.hpp"
#include "line_pipe.hpp"

#include "recordkv/firehose/recording.hpp"
#include "recordkv/firehose/websocket.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::cli {

class frame_input {
 public:
  /// "-", the path of a recording, or a ws:// or wss:// address. errc::bad_config: it cannot be opened.
  static result<std::unique_ptr<frame_input>> open(asio::io_context& io, const std::string& where);
  ~frame_input();
  frame_input(const frame_input&) = delete;
  frame_input& operator=(const frame_input&) = delete;

  /// What has come, at least one message. errc::closed: the recording has ended, or close() was called.
  /// errc::malformed, errc::storage: what has come does not go on as a recording, or as WebSocket. Of a live host also
  /// errc::bad_config, for an address that never answers, and errc::unreachable, also once the host has closed.
  task<result<std::vector<read_frame>>> next();
  void close() noexcept;

 private:
  frame_input(asio::io_context& io, std::string name);
  task<result<std::vector<read_frame>>> next_recorded();
  task<result<std::vector<read_frame>>> next_live();
  error lost(const error& e) const;
  error named(const error& e) const { return fail(e.code, "{}: {}", name_, e.text); }

  asio::io_context& io_;
  std::string name_;
  bool closed_ = false;

  int fd_ = -1;  // ours to close
  std::optional<byte_input> bytes_;
  firehose::recording_reader recording_;
  std::optional<error> broken_;  // told once the frames before it have been read

  std::optional<firehose::websocket> websocket_;
  bool connected_ = false;
};

}  // namespace recordkv::cli
