// Writes that must not reach the server late. A process that is suspended or cut off may lose its lease. A write that
// leaves the process afterwards would overwrite a newer value of its successor (docs/invariants.md X7).
//
// Owns: how long guarded bytes have been on their way, in nats.c's buffer or in the kernel's; what becomes of the bytes
// in the kernel. Does not know: nats.c, and which part publishes. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace recordkv::nats {

/// One for each connection. Sockets stay the caller's.
class stale_write_guard {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// `socket` has just been connected; earlier marks are forgotten. However this process ends, the kernel sends nothing
  /// more from this socket afterwards.
  void attached(int socket);

  /// Bytes up to the `end`-th since attached() must not arrive late.
  void published(std::uint64_t end, time now);
  /// True while guarded bytes may be on their way.
  bool on_the_way() const noexcept { return !marks_.empty(); }
  /// True when guarded bytes have been on their way for too long. `written`: how many bytes the kernel has been given
  /// since attached().
  bool late(std::uint64_t written, time now);

  /// Ends the connection at once. What the peer has not acknowledged is thrown away.
  static void cut(int socket) noexcept;
  /// The connection is about to end in an orderly way: what is not sent yet may still go out.
  static void spare(int socket) noexcept;

 private:
  struct mark {
    std::uint64_t end;
    time at;  // when the first of its bytes were published
  };
  int socket_ = -1;
  std::deque<mark> marks_;
};

}  // namespace recordkv::nats
