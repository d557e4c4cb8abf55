// Is it moving, and if not: since when, and why.
//
// Owns: the present ailment of one part, with the time it began.
// Refuses to know: clocks (time is an argument) and who reads it.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace recordkv {

class health {
 public:
  using time = std::chrono::system_clock::time_point;
  struct ailment {
    std::string reason;
    time since;
  };

  void good() noexcept { present_.reset(); }
  /// The first call with a reason sets its beginning; the same reason again keeps it.
  void bad(std::string reason, time now) {
    if (!present_ || present_->reason != reason)
      present_ = ailment{std::move(reason), present_ ? present_->since : now};
  }
  const std::optional<ailment>& present() const noexcept { return present_; }

 private:
  std::optional<ailment> present_;
};

}  // namespace recordkv
