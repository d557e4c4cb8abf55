// Where frames come from: the upstream end of the pipe.
//
// Owns: the interface of a source, what it returns, and what its maker is told.
// Does not know: NATS, what becomes of a frame, where cursors are kept, which kinds there are (source_kinds.hpp).
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/source_gap.hpp"
#include "recordkv/core/source_position.hpp"
#include "recordkv/core/task.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::firehose {

/// One message as it came, with its summary; or a notice about the stream itself.
struct frame {
  enum class notice {
    none,        ///< bytes and info are a message
    unreadable,  ///< a message was skipped. info.name: why, in a word. info.did: its account, where it could be read
    late,        ///< bytes and info are a message that came behind newer messages and was not returned before
    renumbered,  ///< numbers begin anew, and earlier numbers mean nothing. info.seq: the first new number, where known
    outdated_cursor,  ///< the host no longer has everything since our cursor: accounts may be stale
    gap,              ///< the first events of a connection do not join what was read before
  };
  notice what = notice::none;
  std::string bytes;
  atproto::frame_summary info;
  source_gap gap;  ///< outdated_cursor and gap only
};

/// A stream of frames. Only a file's ends by itself. Single consumer, loop thread only.
class frame_source {
 public:
  virtual ~frame_source() = default;

  /// Everything that has arrived, at least one frame. Suspends until a frame arrives. Between calls the socket is not
  /// read, so TCP carries the back-pressure upstream. Connects and reconnects by itself, from the last frame that it
  /// returned. errc::closed: after close(), or at the end of a file. errc::bad_config: the host will never accept this
  /// configuration (HTTP 400, 401, 403, 404, 501); the text says what to change.
  virtual task<result<std::vector<frame>>> next() = 0;

  /// Stops: a waiting next() returns errc::closed soon. Idempotent.
  virtual void close() noexcept = 0;

  /// Drops a silent connection and dials again from the same place. Without a connection it does nothing.
  virtual void redial() noexcept {}

  /// Why the source does not deliver, for `status`: "connecting to …: reason". Empty while it is connected.
  virtual std::string last_error() const = 0;
};

enum class start_at { live, oldest };

struct source_spec {
  std::string url;  ///< ws://, wss:// (host and optional port; the path is added where absent), or file path
  std::vector<std::string>
      collections;                  ///< NSID, `prefix.*` or `*`; handed upstream by jetstream, ignored by the others
  std::vector<std::string> dids;    ///< jetstream: wantedDids; empty: all
  start_at start = start_at::live;  ///< used when there is no cursor
  std::optional<std::uint64_t> begin_behind;  ///< the same, before `start`: a number, or for Jetstream a time in µs
  std::optional<source_position> cursor;      ///< the last place that needs no repetition
  std::size_t max_frame = 5'000'000;          ///< bytes; a larger message is skipped
  std::chrono::milliseconds idle{60'000};     ///< nothing received (not even a pong) for this long: reconnect
  std::chrono::milliseconds proof{2000};      ///< a connection that has stood for so long begins the delays anew
  std::uint64_t pace = 0;                     ///< file: frames per second, 0: as fast as they are taken
  std::string tls_ca;                         ///< PEM file of authorities that wss trusts besides the system's
  std::chrono::milliseconds retry_base{500};  ///< the first wait before reconnecting; doubles up to 60 s
};

// Counters of all kinds:
//
//   source_frames, source_bytes   messages returned.
//   source_late                   numbers that went back; these messages are returned too.
//   source_skipped                {unreadable, unknown, bad_did, did_too_long, info, repeat, regress, keep_alive,
//                                 error_frame}. A message of unknown kind is returned too, since its seq is progress.
//   source_renumbered             a new numbering began.
//   source_reconnects             {closed, timeout, unreachable, refused, bad_config, framing, too_slow, error_frame,
//                                 future_cursor, outdated_cursor, other_instance, silent}.
//
// Log lines about a connection name the part "firehose" or "jetstream".

/// False for a number from the future: a Jetstream time ahead of our clock by more than five minutes, or more than the
/// lexicon allows. Reading cannot resume from such a number.
bool believable_number(std::uint64_t seq, bool may_be_time);

}  // namespace recordkv::firehose
