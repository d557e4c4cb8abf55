// Publishing into a stream, in order, whatever is refused, lost or cut off on the way.
//
// Owns: sending and asking over the connection, and the waiting for it. Loop thread only.
// Refuses to know: what to send and when (publish_plan.hpp), and what the messages mean.
//
// Unfenced (the store): after one refusal or silence everything in flight is sent again, in order, under a new attempt.
// Answers to older attempts are void. Fenced (the buffer): every message names the sequence that it expects before
// itself. One refusal then refuses all behind it, and no other writer can write in between.
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
/// Both empty: it can't be lost.
struct write_permit {
  std::function<bool()> valid;  ///< true: it is certainly held at this moment
  /// Asks for it again. False: that is not known, or it is lost (then the owner closes the publisher). True counts only
  /// while valid() holds as well, because the process may have been suspended after the answer came.
  std::function<task<bool>()> renew;
};

struct publisher_spec {
  std::string name;    ///< in counters and log lines
  std::string stream;  ///< whose acknowledgements are expected
  pipe::window_limits limits;
  bool fenced = false;
  std::chrono::milliseconds answer_limit{5000};  ///< an acknowledgement that takes longer is taken for lost
  write_permit permit;           ///< checked before anything is sent that could overwrite another process's newer value
  histogram* latency = nullptr;  ///< told the seconds from sending to acknowledgement; outlives the publisher
};

class publisher final : public outbox {
 public:
  /// `nc` and `counters` outlive the publisher.
  publisher(connection& nc, publisher_spec spec, meters& counters);
  /// The coroutines of start() have ended.
  ~publisher() override;

  /// Takes the stream as it is now as the base (created, last sequence) and drops what was in flight. Call before the
  /// first put, and after halted().
  void attach(const stream_state& now);
  /// The watch over answers and reconnects runs among `children` until close().
  void start(nursery& children);

  /// As in outbox. Also suspends while the permit can't be renewed. errc::conflict: halted().
  task<result<ordinal>> put(std::string subject, header_list headers, std::string payload) override;
  /// As in outbox. Not where the publisher is fenced.
  ordinal skip() override;
  ordinal floor() const noexcept override { return plan_.floor(); }
  std::uint64_t stored() const noexcept override { return plan_.stored(); }
  event& moved() noexcept override { return moved_; }

  /// Ends put(), which returns errc::closed, and the watch. What is in flight may still be stored. For good.
  void close() noexcept;
  /// Fenced: the stream sequence at which an ordinal of this attach stands, or will stand.
  std::uint64_t sequence_of(ordinal o) const noexcept { return plan_.sequence_of(o); }
  halt halted() const noexcept { return plan_.halted(); }
  std::size_t in_flight() const noexcept { return plan_.in_flight(); }
  bool full() const noexcept { return plan_.full(); }
  /// Why the stream takes nothing, for a person; empty while it does. Valid until the publisher goes on.
  const std::string& last_error() const noexcept { return plan_.last_error(); }
  /// The same for the program; `when_full` is what a stream at its limits means here. Only while last_error() is not
  /// empty.
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
  ordinal told_floor_ = 0;  // what moved() has been notified of
  bool closed_ = false;
  event moved_;
  event woken_;
};

}  // namespace recordkv::nats
