// Publishing into a stream, in order, whatever is refused, lost or cut off on the way.
//
// Owns: the window of what is in flight, with the messages themselves until they are durable; resending.
// Refuses to know: what the messages mean. Rules X1 and X10 of docs/invariants.md.
//
// Unfenced (the store): one refusal or silence reopens everything behind it, and all of it is sent again, in order,
// under a new attempt; answers to older attempts say nothing. Fenced (the buffer): every message says which sequence it
// expects before itself, so one refusal refuses all behind it, and nobody else can write in between.
#pragma once

#include "recordkv/core/backoff.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/part_stats.hpp"
#include "recordkv/nats/connection.hpp"
#include "recordkv/nats/jetstream.hpp"
#include "recordkv/nats/ports.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <optional>

namespace recordkv::nats {

/// Leave to write, for whoever may have lost it while he was stopped or cut off (docs/invariants.md X7). Both empty: it
/// can't be lost.
struct permit {
  std::function<bool()> fresh;  ///< certainly still ours
  /// Asks; false: nothing is known, or it is lost (then its owner closes us). True counts only while fresh() holds,
  /// too: the answer may have lain there while the process was stopped.
  std::function<task<bool>()> renew;
};

struct publisher_spec {
  std::string name;  ///< in counters and log lines
  std::string stream;
  pipe::window_limits limits;
  bool fenced = false;
  std::chrono::milliseconds answer_limit{5000};
  permit leave;                  ///< asked before anything is sent that could overwrite another owner's newer value
  histogram* latency = nullptr;  ///< told the time from sending to acknowledgement; outlives the publisher
};

/// Why a publisher can't go on by itself; its owner decides.
enum class halt {
  none,
  stream_lost,  ///< the stream was recreated, or its end lies below what it acknowledged
  foreign,      ///< fenced: its last sequence exceeds what our own publishes explain
};

class publisher final : public outbox {
 public:
  publisher(connection& nc, publisher_spec spec, meters& counters);
  ~publisher() override;

  /// Takes the stream as it is now as the base (created, last sequence) and drops what was in flight. Call before the
  /// first put, and after halted().
  void attach(const stream_state& now);
  void start(nursery& children);  ///< the watch over answers and reconnects runs among `children` until close()

  task<result<ordinal>> put(std::string subject, header_list headers, std::string payload) override;
  ordinal skip() override;
  ordinal floor() const noexcept override { return window_.floor(); }
  std::uint64_t stored() const noexcept override { return stored_; }
  event& moved() noexcept override { return moved_; }

  void close() noexcept;
  /// Fenced: the stream sequence at which an ordinal of this attach stands, or will stand.
  std::uint64_t sequence_of(ordinal o) const noexcept { return fence_ + (o - fence_ordinal_) + 1; }
  halt halted() const noexcept { return halt_; }
  std::size_t in_flight() const noexcept { return window_.count(); }
  bool full() const noexcept { return window_.full(); }
  /// Why the stream takes nothing; empty while it does.
  const std::string& last_error() const noexcept { return last_error_; }
  /// The same as a cause, `full` being what a stream at its limits means here. Only while there is trouble.
  cause stall_cause(cause full) const noexcept;
  /// How long the oldest message that is not durable has been waiting.
  std::chrono::duration<double> oldest() const noexcept;

 private:
  struct item {
    std::string subject;
    header_list headers;
    std::string payload;
    std::uint64_t seq = 0;
    std::chrono::steady_clock::time_point opened;
    std::chrono::steady_clock::time_point sent;
    unsigned tries = 0;
    bool skipped = false;
  };
  void send(ordinal o);
  void send_waiting();
  void answered(std::uint64_t attempt, ordinal o, const message& reply);
  void denied(const denial& d);
  void settle(ordinal o, std::uint64_t seq);
  void doubt(std::string why, errc code = errc::refused);
  void leave_out(ordinal o);
  bool silent() const;
  bool running() const noexcept { return !closed_ && halt_ == halt::none; }
  void stop(halt why, std::string text);
  task<> watch();
  task<> watch_connection();
  task<> recover();
  task<bool> may_write();
  task<bool> consult_stream();

  connection& nc_;
  publisher_spec spec_;
  meters& counters_;
  std::uint64_t id_;
  std::uint64_t denial_sink_;
  pipe::ack_window window_;
  std::deque<item> items_;  // [floor, next) as in the window
  ordinal base_ = 0;        // ordinal of items_.front()
  ordinal sent_ = 0;        // everything below has been sent in this attempt
  std::uint64_t attempt_ = 1;
  std::size_t unanswered_ = 0;  // of this attempt
  std::uint64_t connects_ = 0;
  std::optional<ordinal> probe_;  // after trouble one message goes ahead, the rest follows its answer
  bool doubt_ = false;
  bool foreign_ = false;  // fenced: a refusal that only another writer explains
  bool closed_ = false;
  halt halt_ = halt::none;
  std::string created_;
  std::size_t max_size_ = 0;
  std::uint64_t fence_ = 0;  // fenced: ordinal o belongs at sequence fence_ + (o - fence_ordinal_) + 1
  ordinal fence_ordinal_ = 0;
  ordinal high_sent_ = 0;  // fenced: one above the highest ordinal ever sent since attach
  std::uint64_t stored_ = 0;
  std::string last_error_;
  errc last_error_code_ = errc::refused;
  backoff backoff_;
  event moved_;
  event woken_;
};

}  // namespace recordkv::nats
