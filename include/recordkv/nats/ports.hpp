// Where a stage meets the world: what comes in with a duty to settle it, what goes out with an ordinal.
//
// Owns: two interfaces. Production: pull_consumer and publisher; tests: fakes.
// Refuses to know: everything else.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/nats/message.hpp"
#include "recordkv/pipe/ack_window.hpp"

#include <string>
#include <vector>

namespace recordkv::nats {

using pipe::ordinal;

class inbox {
 public:
  virtual ~inbox() = default;

  /// Everything that has arrived, at least one message, in stream order. After a rewind messages come again. Calling it
  /// is what renews credit. errc::closed once closed; errc::mismatch and others: the consumer can't go on, see text.
  virtual task<result<std::vector<message>>> next() = 0;

  /// The message is dealt with for good. Never suspends. Ignored when its consumer has been rewound since.
  virtual void settle(const message& m) = 0;

  /// No more messages: a waiting next() returns errc::closed.
  virtual void close() noexcept = 0;
};

class outbox {
 public:
  virtual ~outbox() = default;

  /// Sends a message in its turn. Suspends only while the window is full. The ordinal tells when it is durable: once
  /// floor() is above it. errc::closed after close; errc::too_large: can never be stored, no ordinal was taken.
  virtual task<result<ordinal>> put(std::string subject, header_list headers, std::string payload) = 0;

  /// A place in the order that needs no message; settled as soon as all before it are.
  virtual ordinal skip() = 0;

  /// All ordinals below are durable.
  virtual ordinal floor() const noexcept = 0;

  /// The stream sequence at or below which everything under the floor stands.
  virtual std::uint64_t stored() const noexcept = 0;

  /// Notified when floor() rises, and when put() may go on.
  virtual event& moved() noexcept = 0;
};

}  // namespace recordkv::nats
