// The interfaces between a stage and NATS: an inbox of messages to settle, and an outbox that gives each message an
// ordinal.
//
// Owns: the two interfaces. Implemented by pull_consumer and publisher, and by fakes in tests.
// Does not know: everything else.
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

  /// Everything that has arrived, at least one message, in stream order. After a rewind messages are delivered again.
  /// Each call renews credit. errc::closed after close(). errc::mismatch and others: the consumer cannot go on; the
  /// text says why.
  virtual task<result<std::vector<message>>> next() = 0;

  /// Settles the message for good. Never suspends. Ignored if the consumer has been rewound since.
  virtual void settle(const message& m) = 0;

  /// No more messages: a waiting next() returns errc::closed.
  virtual void close() noexcept = 0;
};

class outbox {
 public:
  virtual ~outbox() = default;

  /// Sends a message in order. Suspends while the window is full, and while the permit to write can't be renewed. The
  /// message is durable once floor() is above its ordinal. errc::closed after close; errc::too_large: the message
  /// can never be stored, and no ordinal was taken.
  virtual task<result<ordinal>> put(std::string subject, header_list headers, std::string payload) = 0;

  /// Takes an ordinal without a message. It is settled as soon as all earlier ordinals are settled.
  virtual ordinal skip() = 0;

  /// All ordinals below the floor are durable.
  virtual ordinal floor() const noexcept = 0;

  /// Everything under the floor is stored at or below this stream sequence.
  virtual std::uint64_t stored() const noexcept = 0;

  /// Notified when floor() rises, and when put() may go on.
  virtual event& moved() noexcept = 0;
};

}  // namespace recordkv::nats
