// A real nats-server of a test's own, and a loop with a connection to it.
//
// Owns: the process, its port and directory; both go with the object, and the process also with the test program.
// Does not know: what is stored in it.
#pragma once

#include "fakes.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/nats/jetstream.hpp"

#include <fmt/ranges.h>
#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace recordkv::test {

using namespace std::chrono_literals;
using numbers = std::vector<std::uint64_t>;
using words = std::vector<std::string>;

class nats_process {
 public:
  /// Starts RECORDKV_NATS_SERVER with JetStream on a free port; the test fails when the variable is not set.
  explicit nats_process(words more_arguments = {}, bool jetstream = true);
  ~nats_process();
  nats_process(const nats_process&) = delete;

  std::string url(std::string_view credentials = {}) const;
  std::uint16_t port() const noexcept { return port_; }

  void kill_9();    ///< and waits until it is gone
  void start();     ///< again, on the same port and directory
  void remember();  ///< how its disk stands now; it is killed and started for it
  void set_back();  ///< killed and started with the disk as remembered
  /// The same for these streams alone. What is remembered stays.
  void set_back(const words& streams);
  void pause();  ///< it stands still, connections stay
  void resume();

 private:
  void wait_ready();

  words arguments_;
  std::filesystem::path directory_;
  std::uint16_t port_ = 0;
  int pid_ = 0;
};

/// Takes connections on a port and says nothing.
class silent_listener {
 public:
  explicit silent_listener(std::uint16_t port = 0, std::string greeting = {});
  ~silent_listener();
  silent_listener(const silent_listener&) = delete;
  std::uint16_t port() const noexcept { return port_; }

 private:
  int fd_ = -1;
  std::uint16_t port_ = 0;
};

/// Log lines, as long as it lives.
struct captured_log {
  captured_log();
  ~captured_log();
  bool has(std::string_view part_of_line) const;
  words lines;
};

/// A server, a loop, a connection. When a test ends in the middle, loop and connection are left behind on purpose:
/// coroutines that wait for both stand in them.
struct nats_rig {
  explicit nats_rig(words more_arguments = {});
  ~nats_rig();

  std::unique_ptr<nats::connection> connect();

  /// The task's value; the test fails when it takes too long.
  template <class T>
  T run(task<T> work, std::chrono::steady_clock::duration limit = patience) {
    auto out = run_coroutine(io, std::move(work), limit);
    if (!out) FAIL("a task did not end in time; the log:\n" << fmt::format("{}", fmt::join(log.lines, "\n")));
    return std::move(*out);
  }
  template <class Fact>
  bool waits_for(Fact fact, std::chrono::steady_clock::duration limit = patience) {
    return becomes(io, fact, limit);
  }
  bool logged(std::string_view part_of_line) const { return log.has(part_of_line); }

  /// kill -9 and start; returns once the connection knows that it was lost.
  void restart_server();
  /// `$JS.API.<what>`, which must succeed.
  boost::json::object api(std::string what, std::string body = {});
  nats::stream_state stream(std::string name, std::string config);  ///< made with this configuration besides its name
  nats::stream_state info(std::string name);
  /// Removes a stream, so that one of its name may be made at once. nats-server 2.15.2 can hand a stream that is
  /// removed and made again within some milliseconds the last message of the removed one (6 of 400 times). Not under a
  /// running stage: it may find the empty stream that this makes meanwhile.
  void remove(std::string name);
  /// Changes settings of a stream, the others stay: R"({"max_msgs":10})"
  void update(std::string name, std::string changes);
  std::uint64_t publish(std::string subject, std::string data,
                        nats::header_list headers = {});  ///< its stream sequence
  words contents(std::string name);                       ///< data of all messages, in order
  std::string newest(std::string stream, std::string subject);
  int api_level();

  captured_log log;
  nats_process server;
  meters counters;
  std::unique_ptr<asio::io_context> loop;
  asio::io_context& io;
  std::unique_ptr<nats::connection> connection;
  nats::connection& nc;
};

}  // namespace recordkv::test
