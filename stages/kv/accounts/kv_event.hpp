// One event on its way through stage `kv`, and the buffered message that it came in.
//
// Owns: the number of a message's events that have not settled.
// Does not know: what is done with an event.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/atproto/verify.hpp"
#include "recordkv/kv/frame_origin.hpp"
#include "recordkv/nats/ports.hpp"

#include <cstdint>
#include <memory>
#include <utility>

namespace recordkv::stages {

/// One event's share of a message of the buffer. The message is acknowledged when the last of its handles has settled.
/// A handle that is dropped without settle() leaves its message unacknowledged: NATS delivers it again.
class event_handle {
 public:
  explicit event_handle(nats::message&& from) : held_(std::make_shared<held>(std::move(from))) {}
  event_handle(event_handle&&) noexcept = default;
  event_handle& operator=(event_handle&&) noexcept = default;
  event_handle(const event_handle&) = delete;
  event_handle& operator=(const event_handle&) = delete;

  /// A handle for one more event of the same message.
  event_handle another() const {
    ++held_->unsettled;
    return event_handle(held_);
  }

  /// The event has settled. Call this once.
  void settle(nats::inbox& in) {
    if (--held_->unsettled == 0) in.settle(held_->message);
  }

  /// Where the message's frames come from. Call it only where it is needed: it parses all headers.
  kv::frame_origin origin() const {
    return kv::read_origin([this](const char* name) { return held_->message.header_value(name); });
  }

 private:
  struct held {
    explicit held(nats::message&& m) : message(std::move(m)) {}
    nats::message message;
    std::size_t unsettled = 1;
  };
  explicit event_handle(std::shared_ptr<held> h) : held_(std::move(h)) {}

  std::shared_ptr<held> held_;
};

struct kv_event {
  std::unique_ptr<atproto::repo_event> what;  ///< never null; large, and the event moves from queue to queue
  event_handle from;
  std::size_t bytes = 0;   ///< of message payload that the event keeps in memory
  bool undecoded = false;  ///< the payload was refused: `what` holds the reason and, if it could be read, the account
  bool framed = false;     ///< a frame of the firehose, whose commits and #syncs are signed
  std::uint64_t source_seq = 0;  ///< its number at the source, if it came in a batch; else 0: see the message's origin
  std::uint64_t number = 0;      ///< account_order sets it: rises in the order in which events came
  bool looked_up = false;        ///< #identity: the account's key has been looked up because of it
  atproto::verdict worth = atproto::verdict::unproven;
};

}  // namespace recordkv::stages
