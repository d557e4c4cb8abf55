// What was published and must not reach the server late: a stopped or cut off process would write past somebody who
// has taken its place and written newer values since (docs/invariants.md X7).
//
// Owns: how long such bytes have been on their way, in nats.c's buffer or the kernel's, and what becomes of those in
// the kernel. Refuses to know: nats.c, and who publishes.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace recordkv::nats {

class perishable {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// `socket` has just been connected. However this process ends, the kernel sends nothing more of it afterwards.
  void attached(int socket);

  /// Bytes up to the `end`-th since the attach must not come late.
  void published(std::uint64_t end, time now);
  /// Some may be on their way.
  bool on_the_way() const noexcept { return !marks_.empty(); }
  /// Some have been for too long, of `written` bytes since the attach that the kernel has been given.
  bool late(std::uint64_t written, time now);

  /// Ends the connection at once; what its peer has not acknowledged is thrown away.
  static void cut(int socket) noexcept;
  /// An orderly end is to come: what is unsent may go out after it.
  static void spare(int socket) noexcept;

 private:
  struct mark {
    std::uint64_t end;
    time at;  // when the first of them came
  };
  int socket_ = -1;
  std::deque<mark> marks_;
};

}  // namespace recordkv::nats
