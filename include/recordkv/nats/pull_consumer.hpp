// Taking messages from a durable consumer, in stream order, whatever happened before.
//
// Owns: credit, heartbeats, status messages, and the rewind (docs/invariants.md X6).
// Refuses to know: who else might pull; one owner a durable is the caller's duty (X7).
//
// After a death JetStream gives the next messages and keeps the unacknowledged back. So whoever takes a durable rewinds
// it: when it attaches, after every reconnect, and when the consumer sequence jumps.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/nats/connection.hpp"
#include "recordkv/nats/jetstream.hpp"
#include "recordkv/nats/ports.hpp"

#include <functional>

namespace recordkv::nats {

class pull_consumer final : public inbox {
 public:
  /// `start` is asked at every rewind for the first stream sequence wanted; empty: a work queue's first message.
  /// `api_level` as the server tells it (jetstream_facts): from 4 on CONSUMER.RESET is used.
  pull_consumer(connection& nc, consumer_spec spec, meters& counters, int api_level,
                std::function<std::uint64_t()> start = {});
  ~pull_consumer() override;

  /// Makes the consumer where it is absent, checks it where it is not, and rewinds it. An edit of another program is
  /// told to `consumer_spec::edited` before anything is read.
  task<result<void>> attach();

  task<result<std::vector<message>>> next() override;
  void settle(const message& m) override;
  void close() noexcept override;

  bool closed() const noexcept { return closed_; }
  /// The durable, or the name that the server gave.
  const std::string& name() const noexcept { return name_; }
  std::uint64_t incarnation() const noexcept { return incarnation_; }
  /// Matching messages that are still to be delivered, as the last delivery, or the making of the consumer, told. While
  /// keys are being overwritten the server's count may be off in either direction: for display, never for a decision.
  std::uint64_t pending() const noexcept { return pending_; }

  /// What next() has brought since the start, and when the last of it was stored.
  struct intake {
    std::uint64_t messages = 0, bytes = 0;
    std::int64_t time_ns = 0;
  };
  const intake& taken() const noexcept { return taken_; }
  /// How many of these came while the durable's settings are known to have been ours.
  std::uint64_t proven() const noexcept { return proven_; }
  /// Age of the last message while more is pending, else 0: how far behind its reader is.
  double lag_seconds() const noexcept;

  /// Asks the server when nothing has been delivered for `patience` although somebody waits in next(): why nothing
  /// moves (the server says that it is paused, or gone), or empty. One request at most; call it now and then.
  task<std::string> stall_reason(std::chrono::milliseconds patience);

 private:
  task<result<void>> make();
  task<result<void>> reset();
  task<result<bool>> look();
  task<result<void>> judge(const boost::json::object& info);
  task<result<void>> compare();
  task<result<void>> rewind(std::string_view why);
  task<> look_after_request();
  void denied(const denial& d);
  task<> try_denied_ack();
  std::vector<message> take();
  void status(const message& m);
  void renew();
  bool lost() const;

  connection& nc_;
  consumer_spec spec_;
  meters& counters_;
  int api_level_;
  std::function<std::uint64_t()> start_;
  subscription messages_;
  std::string reply_;  // where this incarnation's messages come
  std::string name_;   // the durable, or the ephemeral's name
  std::uint64_t incarnation_ = 0;
  std::uint64_t connects_ = 0;
  std::uint64_t expected_ = 1;  // consumer sequence of the next delivery; a rewind begins at 1
  bool anew_ = false;           // the next rewind makes the consumer anew, whatever a reset could do
  bool edited_ = false;         // by another program; told, and not yet made anew
  bool sealed_ = false;         // made, or seen as ours, in this life: without our seal it has been edited
  std::uint64_t proven_ = 0;    // of taken_.messages: came before the settings were last seen to be ours
  std::chrono::steady_clock::time_point compared_;
  std::uint64_t pending_ = 0;
  intake taken_;
  std::size_t credit_ = 0;  // messages asked for and not delivered
  std::chrono::steady_clock::time_point heard_;
  std::chrono::steady_clock::time_point delivered_;  // something, or the last time it was known that there is nothing
  std::uint64_t denial_sink_;
  std::string denied_ack_, denied_why_;  // an acknowledgement that was refused: the server counts on it
  std::chrono::steady_clock::time_point ack_tried_;
  bool closed_ = false;
  bool wanted_ = false;  // somebody waits in next()
  bool idle_ = false;    // a heartbeat has come since the last message
  bool rewind_wanted_ = true;
  std::string rewind_reason_ = "attached";
};

}  // namespace recordkv::nats
