// Delivers the messages of a durable consumer in stream order, whatever happened before.
//
// Owns: credit, heartbeats, status messages, and the rewind (docs/invariants.md X6).
// Does not know: other clients of the durable. The caller ensures that only one process uses it (X7).
//
// After a process has died, JetStream delivers the next messages and keeps the unacknowledged ones back. A process that
// takes over a durable therefore rewinds it: when it attaches, after every reconnect, and when the consumer sequence
// jumps.
#pragma once

#include "recordkv/core/meter.hpp"
#include "recordkv/nats/connection.hpp"
#include "recordkv/nats/jetstream.hpp"
#include "recordkv/nats/ports.hpp"

#include <functional>

namespace recordkv::nats {

class pull_consumer final : public inbox {
 public:
  /// `start` is called at every rewind, and returns the first stream sequence to deliver. Empty: delivery begins with
  /// the first message of a work queue. `api_level`: as the server reports it (jetstream_facts). From 4 on,
  /// CONSUMER.RESET is used.
  pull_consumer(connection& nc, consumer_spec spec, meters& counters, int api_level,
                std::function<std::uint64_t()> start = {});
  ~pull_consumer() override;

  /// Makes the consumer if it is absent, otherwise checks it; then rewinds it. An edit by another program is reported
  /// to `consumer_spec::edited` before anything is read.
  task<result<void>> attach();

  task<result<std::vector<message>>> next() override;
  void settle(const message& m) override;
  void close() noexcept override;

  bool closed() const noexcept { return closed_; }
  /// The durable's name, or the name that the server gave.
  const std::string& name() const noexcept { return name_; }
  std::uint64_t incarnation() const noexcept { return incarnation_; }
  /// How many matching messages are not yet delivered. The last delivery reported this number, or the creation of the
  /// consumer. While keys are being overwritten, the server's count may be wrong in either direction. Display it, but
  /// never base a decision on it.
  std::uint64_t pending() const noexcept { return pending_; }

  /// What next() has returned since the start, and when the last of these messages was stored.
  struct intake {
    std::uint64_t messages = 0, bytes = 0;
    std::int64_t time_ns = 0;
  };
  const intake& taken() const noexcept { return taken_; }
  /// How many messages of taken() arrived while the durable is known to have had the settings of this spec.
  std::uint64_t proven() const noexcept { return proven_; }
  /// How far the reader is behind: the age of the last message while more messages are pending, otherwise 0.
  double lag_seconds() const noexcept;

  /// If nothing was delivered for `patience` although a caller waits in next(), asks the server for the reason: the
  /// consumer is paused, or gone. Otherwise empty. Sends at most one request. Call it periodically.
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
  std::string reply_;  // the subject of this incarnation's messages
  std::string name_;   // the durable's or the ephemeral's name
  std::uint64_t incarnation_ = 0;
  std::uint64_t connects_ = 0;
  std::uint64_t expected_ = 1;  // consumer sequence of the next delivery; a rewind begins at 1
  bool anew_ = false;           // the next rewind makes the consumer again, even where a reset would do
  bool edited_ = false;         // another program has edited the durable: reported, but not made again yet
  bool sealed_ = false;         // this process made the durable or saw its seal: a missing seal then means an edit
  std::uint64_t proven_ = 0;    // how many of taken_.messages arrived before the settings were last seen unedited
  std::chrono::steady_clock::time_point compared_;
  std::uint64_t pending_ = 0;
  intake taken_;
  std::size_t credit_ = 0;  // messages requested and not yet delivered
  std::chrono::steady_clock::time_point heard_;
  std::chrono::steady_clock::time_point delivered_;  // last delivery, or last time when nothing was known to be pending
  std::uint64_t denial_sink_;
  std::string denied_ack_, denied_why_;  // an acknowledgement that was refused: the server still waits for it
  std::chrono::steady_clock::time_point ack_tried_;
  bool closed_ = false;
  bool wanted_ = false;  // a caller waits in next()
  bool idle_ = false;    // a heartbeat has come since the last message
  bool rewind_wanted_ = true;
  std::string rewind_reason_ = "attached";
};

}  // namespace recordkv::nats
