// Decides what a publisher sends, what it sends again, when it asks the stream for its state, and when it gives up.
//
// Owns: the window with its messages until they are durable; attempt, probe, fence and pauses; what each answer means.
// Rules X1 and X10 of docs/invariants.md. A pure state machine.
// Does not know: the connection, coroutines, clocks (time is an argument), and what the messages mean.
//
//   attempt   one pass of sending the window from its floor; attempts are numbered, and an answer names its attempt
//   probe     the first message of a resend; the other messages wait for its acknowledgement
//   fence     the sequence that a message names; the message is stored only if this is the stream's last sequence
//   suspect   something that was sent may be lost; nothing is sent until the stream has been asked
//
//   state     on                                                               next state
//   flowing   a refusal, no answer, a lost connection, an expired permit       suspect
//   suspect   the stream has answered, and the permit is valid                 probing
//   suspect   the stream is lost, or another writer has written to it          halted
//   suspect   the stream has answered, and there is no message to send again   flowing
//   probing   the probe is acknowledged                                        flowing
//   probing   as in flowing                                                    suspect
//   any       attach()                                                         flowing
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
#include <functional>
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

/// Why a publisher can't continue by itself. Its owner decides what to do.
enum class halt {
  none,
  stream_lost,  ///< the stream is gone, was recreated, or ends below what it had acknowledged
  foreign,      ///< fenced: another writer has written to the stream
};

struct publish_rules {
  std::string stream;  ///< its name, for notices
  pipe::window_limits limits;
  /// Each message names a sequence. The stream stores the message only if this is the stream's last sequence.
  bool fenced = false;
  std::chrono::milliseconds answer_limit{5000};  ///< an acknowledgement that takes longer counts as lost
  histogram* latency = nullptr;  ///< of seconds from sending to acknowledgement; outlives the plan; may be null
  /// Called for each message that the floor passes, with the sequence under which it is stored. May be empty.
  std::function<void(std::string_view subject, std::uint64_t seq)> passed;
};

/// The connection at one moment.
struct link_state {
  bool up = false;
  std::uint64_t connects = 0;  ///< how often the connection has come up; a changed number means a reconnect
};

/// What the NATS server and the subject's form on the wire impose on the size of a message.
struct wire_limits {
  std::size_t max_payload = SIZE_MAX;  ///< bytes, headers included
  std::size_t longer_on_the_wire = 0;  ///< bytes by which subject and reply may grow on the way
};

/// Used on one thread. The caller passes the present time, which never goes back. After each call that may have changed
/// something, the caller sends what next() returns, and logs take_notices(). It asks the stream for its state if
/// should_ask() is true.
class publish_plan {
 public:
  using time = std::chrono::steady_clock::time_point;

  /// A message to hand to the connection now. The references live until the next call that changes the plan.
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

  /// `counters` outlives the plan. `seed`: for the random pauses.
  publish_plan(publish_rules rules, meters& counters, std::uint64_t seed = std::random_device{}());

  /// From now on the stream with this creation time and last sequence is the expected one. Drops what is in flight, and
  /// ends a halt. Call attach() before the first open().
  void attach(const stream_state& now, link_state link);
  bool attached() const noexcept { return attempt_ > 0; }

  /// The size of a message in bytes, as the server's limits count it. errc::too_large: the stream can never store it.
  result<std::size_t> measure(std::string_view subject, const header_list& headers, std::string_view payload,
                              wire_limits wire) const;
  /// Takes a message into the window. Precondition: full() is false, halted() is none. `size` is from measure().
  ordinal open(std::string subject, header_list headers, std::string payload, std::size_t size, time now);
  /// Takes an ordinal without a message. Not allowed in a fenced plan, because there each ordinal has a stream
  /// sequence.
  ordinal skip(time now);

  /// True: next() has a message, if `permitted` is true.
  bool due() const noexcept;
  /// The next message to send; nullopt: none. From then on the plan counts it as sent. `permitted`: this process may
  /// still write. False: next() returns nothing, and the plan becomes suspect if a message was due.
  std::optional<outgoing> next(time now, bool permitted);
  /// The connection did not take message `o`, which next() has just returned.
  void not_sent(ordinal o, error why, time now);

  /// The stream's answer to message `o` of `attempt`: a sequence or a refusal. Answers to earlier attempts are
  /// ignored.
  void answered(std::uint64_t attempt, ordinal o, const result<std::uint64_t>& ack, time now);
  /// The server refused a publish or a reply subject for lack of permission. `reply_prefix`: how the reply subjects of
  /// our messages begin.
  void denied(const denial& d, std::string_view reply_prefix, time now);
  /// Notices a lost connection and an overdue answer. Call it again within patience().
  void look(link_state link, time now);
  /// How long the caller may wait before it calls look() and should_ask() again; at most `most`.
  std::chrono::milliseconds patience(time now, std::chrono::milliseconds most) const noexcept;

  /// True: the plan is suspect, and it is time to ask the stream for its state. The caller then calls asking(), told()
  /// with the answer, and resume() if told() returned true.
  bool should_ask(link_state link, time now) const noexcept;
  void asking() noexcept;
  /// The stream's state, or why it is unknown. True: a resend may begin. The caller then renews its permit, and calls
  /// resume().
  bool told(const result<stream_state>& now_there, time now);
  /// `permitted` true: a resend begins now, with the probe. False: the plan stays suspect, and asks again after a
  /// pause. The caller must not suspend between the check of the permit and the sending of what next() returns.
  void resume(bool permitted, time now);

  /// The lines to log since the last call.
  std::vector<notice> take_notices();

  ordinal floor() const noexcept { return window_.floor(); }
  /// Every message below the floor has a stream sequence ≤ this.
  std::uint64_t stored() const noexcept { return stored_; }
  /// Fenced: the stream sequence that a message has, or will get. `o` was given out since the last attach().
  std::uint64_t sequence_of(ordinal o) const noexcept { return fence_ + (o - fence_ordinal_) + 1; }
  std::size_t in_flight() const noexcept { return window_.count(); }
  bool full() const noexcept { return window_.full(); }
  halt halted() const noexcept { return halt_; }
  bool suspects() const noexcept { return suspect_; }
  /// Why the stream stores nothing, as a text; empty while the stream stores messages.
  const std::string& last_error() const noexcept { return last_error_.text; }
  /// The same reason, in the form of a `cause`. `when_full`: the cause to report if the stream is at its limits.
  /// Precondition: last_error() is not empty.
  cause stall_reason(bool up, cause when_full) const noexcept;
  /// How long the oldest message that is not durable has been waiting.
  std::chrono::duration<double> oldest(time now) const noexcept;

 private:
  struct item {
    std::string subject;
    header_list headers;  // fenced: the last header is the fence
    std::string payload;
    std::size_t size = 0;
    std::uint64_t seq = 0;  // 0: not acknowledged
    time opened;
    time sent;
    unsigned tries = 0;
  };
  /// How much the stream can still store, by the plan's own count since the stream was last asked.
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
  ordinal sent_ = 0;                // all messages below it have been sent in this attempt
  std::uint64_t attempt_ = 0;       // 0: not attached
  std::size_t unanswered_ = 0;      // messages sent in this attempt and not answered
  std::optional<ordinal> probe_;    // set while probing: the message that goes ahead alone
  std::uint64_t connects_ = 0;      // link_state::connects when the connection was last looked at
  bool suspect_ = false;            // something that was sent may be lost; nothing is sent
  bool foreign_ = false;            // fenced: a refusal that only another writer explains
  bool asking_ = false;             // between asking() and resume()
  std::uint64_t acknowledged_ = 0;  // a stream whose last sequence is lower has lost messages
  time drain_until_;                // fenced: before asking the stream, wait until then for outstanding answers
  time pause_until_;
  halt halt_ = halt::none;
  error last_error_{errc::refused, {}};
  bool judged_by_room_ = false;  // last_error_ is no_space because of room_; the server did not say so
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
