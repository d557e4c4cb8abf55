// Publishing into a stream, in order, whatever is refused, lost or cut off on the way.
//
// Owns: sending over the connection, asking the stream for its state, and waiting for answers. Loop thread only.
// Does not know: what to send and when (publish_plan.hpp), and what the messages mean.
//
// Unfenced (the store): after one refusal or one missing answer, everything in flight is sent again, in order, under a
// new attempt. Answers to older attempts are ignored.
// Fenced (the buffer): each message names a sequence, and the stream stores the message only if this is the stream's
// last sequence. If the stream refuses one message, it also refuses all later ones. No other writer's message can land
// between two of ours.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/part_stats.hpp"
#include "recordkv/nats/connection.hpp"
#include "recordkv/nats/jetstream.hpp"
#include "recordkv/nats/ports.hpp"
#include "recordkv/nats/publish_plan.hpp"

#include <functional>

namespace recordkv::nats {

/// Permission to write, for a process that may have lost it while it was suspended or cut off (docs/invariants.md X7).
/// Both empty: the permission can't be lost.
struct write_permit {
  std::function<bool()> valid;  ///< true: the permission is certainly held at this moment
  /// Asks for the permission again. False: the permission is lost, or it is unknown whether it is lost. If it is
  /// lost, the owner closes the publisher. True counts only if valid() is true as well, because the process may have
  /// been suspended after the answer came.
  std::function<task<bool>()> renew;
};

struct publisher_spec {
  std::string name;    ///< in counters and log lines
  std::string stream;  ///< the stream that stores the messages
  pipe::window_limits limits;
  bool fenced = false;
  std::chrono::milliseconds answer_limit{5000};  ///< an acknowledgement that takes longer counts as lost
  write_permit permit;           ///< checked before each message: it could overwrite another process's newer value
  histogram* latency = nullptr;  ///< of seconds from sending to acknowledgement; outlives the publisher
  /// Called for each message that the floor passes, with the sequence under which it is stored. May be empty.
  std::function<void(std::string_view subject, std::uint64_t seq)> passed;
};

class publisher final : public outbox {
 public:
  /// `nc` and `counters` outlive the publisher.
  publisher(connection& nc, publisher_spec spec, meters& counters);
  /// Precondition: the coroutines of start() have ended.
  ~publisher() override;

  /// From now on the stream with this creation time and last sequence is the expected one. Drops what was in flight.
  /// Call it before the first put, and when halted() gives a reason and writing is to go on.
  void attach(const stream_state& now);
  /// Starts the coroutines that watch answers and reconnects. They run in `children` until close().
  void start(nursery& children);

  /// As in outbox. errc::conflict: the publisher has halted; halted() gives the reason.
  task<result<ordinal>> put(std::string subject, header_list headers, std::string payload) override;
  /// As in outbox. Not allowed for a fenced publisher.
  ordinal skip() override;
  ordinal floor() const noexcept override { return plan_.floor(); }
  std::uint64_t stored() const noexcept override { return plan_.stored(); }
  event& moved() noexcept override { return moved_; }

  /// Closes for good. A put() that waits returns errc::closed, and the coroutines of start() end. The server may still
  /// store what is in flight.
  void close() noexcept;
  /// Fenced: the stream sequence that a message has, or will get. `o` was given out since the last attach().
  std::uint64_t sequence_of(ordinal o) const noexcept { return plan_.sequence_of(o); }
  halt halted() const noexcept { return plan_.halted(); }
  std::size_t in_flight() const noexcept { return plan_.in_flight(); }
  bool full() const noexcept { return plan_.full(); }
  /// Why the stream stores nothing, as a text; empty while the stream stores messages. The reference is valid until the
  /// caller suspends.
  const std::string& last_error() const noexcept { return plan_.last_error(); }
  /// The same reason, in the form of a `cause`. `when_full`: the cause to report if the stream is at its limits.
  /// Precondition: last_error() is not empty.
  cause stall_reason(cause when_full) const noexcept { return plan_.stall_reason(nc_.up(), when_full); }
  /// How long the oldest message that is not durable has been waiting.
  std::chrono::duration<double> oldest() const noexcept { return plan_.oldest(std::chrono::steady_clock::now()); }

 private:
  bool running() const noexcept { return !closed_ && plan_.halted() == halt::none; }
  link_state link() const { return {nc_.up(), nc_.connects()}; }
  std::string reply_prefix() const;
  void follow_up();
  void send_due();
  task<bool> renew_permit();
  task<> ask_stream();
  task<> watch();
  task<> watch_connection();

  connection& nc_;
  publisher_spec spec_;
  publish_plan plan_;
  std::uint64_t id_;
  std::uint64_t denial_sink_;
  ordinal told_floor_ = 0;  // the floor at the last notification of moved()
  bool closed_ = false;
  event moved_;
  event woken_;
};

}  // namespace recordkv::nats
