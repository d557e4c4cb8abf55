// The moment at which a command, or what runs beside the stages, is asked to end.
//
// Owns: that fact, and pauses that it cuts short.
// Does not know: what ends.
#pragma once

#include "recordkv/core/event.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <chrono>
#include <memory>
#include <optional>

namespace recordkv::cli {

class interruption {
 public:
  /// By happen() alone.
  interruption() = default;
  /// Also by SIGINT and SIGTERM.
  explicit interruption(asio::io_context& io);

  void happen();
  bool happened() const noexcept { return state_->happened; }
  /// Ends early when it happens.
  task<> pause(std::chrono::steady_clock::duration length);

 private:
  struct shared {  // the handler of a signal may run after the object has gone
    bool happened = false;
    event woken;
  };
  static void happen(shared& s);

  std::shared_ptr<shared> state_ = std::make_shared<shared>();
  std::optional<asio::signal_set> signals_;
};

}  // namespace recordkv::cli
