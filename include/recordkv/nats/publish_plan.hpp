// What a publisher sends, sends again, asks and gives up. A pure state machine.
//
// Owns: the window with its messages until they are durable; the attempt, the probe, the fence, the pauses between
// tries; the verdict on every answer. Rules X1 and X10 of docs/invariants.md.
// Refuses to know: the connection, coroutines, clocks (time is an argument), and what the messages mean.
//
//   flowing ─▶ suspect   after a refusal, a silence, a lost connection, an expired permit
//   suspect ─▶ probing   the stream was asked and the permit holds: one message goes ahead
//   probing ─▶ flowing   the probe is acknowledged: the rest follows, in order
//   probing ─▶ suspect   as from flowing
//   suspect ─▶ halted    the stream is lost, or another writer has written to it
//   halted  ─▶ flowing   attach()
#pragma once

#include "recordkv/core/backoff.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/part_health.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/nats/denial.hpp"
#include "recordkv/nats/message.hpp"
#include "recordkv/pipe/ack_window.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv {
class histogram;
}

namespace recordkv::nats {

using pipe::ordinal;
struct stream_state;

/// Why a publisher can't go on by itself; its owner decides what follows.
enum class halt {
  none,
  stream_lost,  ///< the stream is gone, was recreated, or ends below what it had acknowledged
  foreign,      ///< fenced: another writer has written to the stream
};

struct publish_rules {
  std::string stream;  ///< its name, for notices
  pipe::window_limits limits;
  /// Each message names the sequence that it expects before itself, so that the stream refuses it out of order.
  bool fenced = false;
  std::chrono::milliseconds answer_limit{5000};  ///< an acknowledgement that takes longer is taken for lost
  histogram* latency = nullptr;  ///< told the seconds from sending to acknowledgement; outlives the plan; may be null
};

/// The connection at one moment.
struct link_state {
  bool up = false;
  std::uint64_t connects = 0;  ///< how often it has come up; another number than before means a reconnect
};

/// What the NATS server and the subject names on the wire leave for one message.
struct wire_limits {
  std::size_t max_payload = SIZE_MAX;  ///< bytes, headers included
  std::size_t longer_on_the_wire = 0;  ///< bytes by which subject and reply may grow on the way
};

/// Used on one thread. The caller passes the present time, which never goes back. After each call that may have changed
/// something the caller sends what next() returns, logs take_notices(), and asks the stream when should_ask() says so.
class publish_plan {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// A message to be handed to the connection now. The references live until the next call that changes the plan.
  struct outgoing {
    std::uint64_t attempt;  ///< comes back in answered(), with the ordinal
    ordinal number;
    const std::string& subject;
    const header_list& headers;
    std::string_view payload;
  };
  /// One line for the log.
  struct notice {
    bool warning;
    std::string text;
  };

  /// `counters` outlives the plan. `seed` is that of the pauses.
  publish_plan(publish_rules rules, meters& counters, std::uint64_t seed = std::random_device{}());

  /// Takes the stream as it is now as the base and drops what is in flight. Before it nothing may be opened. Ends a
  /// halt.
  void attach(const stream_state& now, link_state link);
  bool attached() const noexcept { return attempt_ > 0; }

  /// The size of a message as the bounds count it, in bytes. errc::too_large: the stream can never take it.
  result<std::size_t> measure(std::string_view subject, const header_list& headers, std::string_view payload,
                              wire_limits wire) const;
  /// Takes a message into the window. The caller has looked at full() and halted(); `size` is from measure().
  ordinal open(std::string subject, header_list headers, std::string payload, std::size_t size, time now);
  /// A place in the order that needs no message. Not in a fenced plan, where each ordinal has its sequence.
  ordinal skip(time now);

  /// True when next() has a message, if permitted.
  bool due() const noexcept;
  /// The message to be sent now, in its turn; nullopt: none. The plan takes it for sent. `permitted` false: this
  /// process may no longer be the one that writes, so the plan sends nothing and becomes suspect.
  std::optional<outgoing> next(time now, bool permitted);
  /// The connection did not take message `o`, which next() has just returned.
  void not_sent(ordinal o, error why, time now);

  /// The stream's answer to message `o` of `attempt`: its sequence or its refusal. Answers to earlier attempts are
  /// void.
  void answered(std::uint64_t attempt, ordinal o, const result<std::uint64_t>& ack, time now);
  /// The NATS server's permissions refuse something. `reply_prefix`: how the reply subjects of our messages begin.
  void denied(const denial& d, std::string_view reply_prefix, time now);
  /// Call at least every `patience`: finds out that the connection was lost or that an answer is overdue.
  void look(link_state link, time now);
  /// How long look() and should_ask() may wait, at most `most`.
  std::chrono::milliseconds patience(time now, std::chrono::milliseconds most) const noexcept;

  /// True when the plan is suspect and it is time to ask the stream what it holds: then asking(), told(), resume().
  bool should_ask(link_state link, time now) const noexcept;
  void asking() noexcept;
  /// What the stream holds, or why that is not known. True: a resend may begin, so the caller renews its permit.
  bool told(const result<stream_state>& now_there, time now);
  /// `permitted`: a resend begins now, with one message that goes ahead as the probe. Nothing may suspend between the
  /// check of the permit and the sending of what next() returns.
  void resume(bool permitted, time now);

  /// Empties the list of what a person should read.
  std::vector<notice> take_notices();

  ordinal floor() const noexcept { return window_.floor(); }
  /// The stream sequence at or below which everything under the floor stands.
  std::uint64_t stored() const noexcept { return stored_; }
  /// Fenced: the stream sequence at which an ordinal of this attach stands, or will stand.
  std::uint64_t sequence_of(ordinal o) const noexcept { return fence_ + (o - fence_ordinal_) + 1; }
  std::size_t in_flight() const noexcept { return window_.count(); }
  bool full() const noexcept { return window_.full(); }
  halt halted() const noexcept { return halt_; }
  bool suspects() const noexcept { return suspect_; }
  /// Why the stream takes nothing, for a person; empty while it does.
  const std::string& last_error() const noexcept { return last_error_.text; }
  /// The same for the program; `when_full` is what a stream at its limits means here. Only while last_error() is not
  /// empty.
  cause stall_reason(bool up, cause when_full) const noexcept;
  /// How long the oldest message that is not durable has been waiting.
  std::chrono::duration<double> oldest(time now) const noexcept;

 private:
  struct item {
    std::string subject;
    header_list headers;  // fenced: the last one is the fence
    std::string payload;
    std::size_t size = 0;
    std::uint64_t seq = 0;  // 0: not acknowledged
    time opened;
    time sent;
    unsigned tries = 0;
  };
  /// How much the stream can still take, as far as the plan knows.
  struct room {
    std::uint64_t messages = UINT64_MAX, bytes = UINT64_MAX;
  };

  ordinal end() const noexcept { return probe_ ? *probe_ + 1 : window_.next(); }
  void settle(ordinal o, std::uint64_t seq);
  void refused(ordinal o, error why, time now);
  void replace_by_marker(ordinal o, time now);
  void suspect(error why, time now);
  void pause(time now);
  bool silent(time now) const;
  void stop(halt why, std::string text);
  void note_room(const stream_state& now);
  bool has_room(const item& i) const noexcept;

  publish_rules rules_;
  meters& counters_;
  backoff backoff_;
  pipe::ack_window<item> window_;
  ordinal sent_ = 0;                // everything below has been sent in this attempt
  std::uint64_t attempt_ = 0;       // 0: not attached
  std::size_t unanswered_ = 0;      // messages of this attempt
  std::optional<ordinal> probe_;    // one message goes ahead, the rest follows its acknowledgement
  std::uint64_t connects_ = 0;      // of the connection that this attempt runs over
  bool suspect_ = false;            // what was sent and not acknowledged may be lost
  bool foreign_ = false;            // fenced: a refusal that only another writer explains
  bool asking_ = false;             // between asking() and resume()
  std::uint64_t acknowledged_ = 0;  // when the stream was asked: the sequence that it must at least hold
  time drain_until_;                // fenced: until then answers are waited for, which tell what was stored
  time pause_until_;
  halt halt_ = halt::none;
  error last_error_{errc::refused, {}};
  bool judged_by_room_ = false;  // last_error_ is no_space only because the stream seemed to have room
  std::string created_;
  std::size_t max_size_ = SIZE_MAX;
  room room_;
  std::uint64_t fence_ = 0;  // fenced: ordinal o belongs at sequence fence_ + (o - fence_ordinal_) + 1
  ordinal fence_ordinal_ = 0;
  ordinal high_sent_ = 0;  // fenced: one above the highest ordinal that was sent since attach()
  std::uint64_t stored_ = 0;
  std::vector<notice> notices_;
};

}  // namespace recordkv::nats
