// Whether one part of a process makes progress; if not, since when and why.
//
// Owns: the present stall of a part: its cause from a closed set, a reason in words, and its beginning.
// Does not know: clocks (time is an argument), and what reads it.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv {

/// Why a part is stalled. Metrics, alerts and `status` use these names.
enum class cause {
  nats_down,            ///< no connection to NATS
  source_silent,        ///< the source is connected and sends nothing
  source_down,          ///< the source cannot be reached, or ends every connection
  buffer_full,          ///< stream `ingest` takes no more: stage `kv` does not keep up, or does not run
  store_full,           ///< kv.max_keys is reached, or the store's own limit
  store_refuses,        ///< NATS refuses or does not answer writes
  consumer_not_moving,  ///< messages are waiting, and the consumer delivers none
  database_locked,      ///< another program holds the database
  disk_full,            ///< of the database, or of NATS
  database,             ///< any other database error
  nats_denied,          ///< the NATS server's permissions refuse what this part needs
  directory_down,       ///< the directory of signing keys does not answer, or says that it is asked too often
};
inline constexpr std::array<std::string_view, 12> cause_names{
    "nats_down",           "source_silent",   "source_down", "buffer_full", "store_full",  "store_refuses",
    "consumer_not_moving", "database_locked", "disk_full",   "database",    "nats_denied", "directory_down"};
constexpr std::string_view name(cause c) noexcept { return cause_names[static_cast<std::size_t>(c)]; }

class part_health {
 public:
  using time = std::chrono::system_clock::time_point;
  struct stall {
    cause what;
    std::string reason;
    time since;
  };

  void good() noexcept { stall_.reset(); }
  /// A stall that continues for the same cause keeps its beginning, even if its reason changes.
  void bad(cause what, std::string reason, time now) {
    const bool goes_on = stall_ && stall_->what == what;
    stall_ = stall{what, std::move(reason), goes_on ? stall_->since : now};
  }
  const std::optional<stall>& stalled() const noexcept { return stall_; }

 private:
  std::optional<stall> stall_;
};

}  // namespace recordkv
