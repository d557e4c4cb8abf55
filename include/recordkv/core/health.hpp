// Is it moving, and if not: since when, and why.
//
// Owns: the present ailment of one part, with its cause from a closed set, a reason in words, and when it began.
// Refuses to know: clocks (time is an argument) and who reads it.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv {

/// What can hold a part up. The names stand in metrics, alerts and `status`.
enum class cause {
  nats_down,            ///< no connection to NATS
  source_silent,        ///< connected to the source, which sends nothing
  source_down,          ///< the source can't be reached or ends every connection
  buffer_full,          ///< stream `ingest` takes no more: the kv stage does not keep up, or is not there
  store_full,           ///< kv.max_keys is reached, or the store's own limit
  store_refuses,        ///< NATS refuses or does not answer writes
  consumer_not_moving,  ///< there are messages, and the consumer delivers none
  database_locked,      ///< another program holds the database
  disk_full,            ///< of the database, or of NATS
  database,             ///< anything else about the database
  nats_denied,          ///< the NATS server's permissions refuse what this part needs
};
inline constexpr std::array<std::string_view, 11> cause_names{
    "nats_down",           "source_silent",   "source_down", "buffer_full", "store_full", "store_refuses",
    "consumer_not_moving", "database_locked", "disk_full",   "database",    "nats_denied"};
constexpr std::string_view name(cause c) noexcept { return cause_names[static_cast<std::size_t>(c)]; }

class health {
 public:
  using time = std::chrono::system_clock::time_point;
  struct ailment {
    cause what;
    std::string reason;
    time since;
  };

  void good() noexcept { present_.reset(); }
  /// `since` is that of this cause: another reason of the same cause keeps it, another cause begins anew.
  void bad(cause what, std::string reason, time now) {
    const bool goes_on = present_ && present_->what == what;
    present_ = ailment{what, std::move(reason), goes_on ? present_->since : now};
  }
  const std::optional<ailment>& present() const noexcept { return present_; }

 private:
  std::optional<ailment> present_;
};

}  // namespace recordkv
