// A frame source over WebSocket: what subscribeRepos and Jetstream have in common.
//
// Owns: reconnecting and its delays, where to resume, what a frame that cannot be read costs, order on the wire,
// counters and log lines.
// Refuses to know: URLs, parameters and encodings; they are the dialect's.
#pragma once

#include "continuity.hpp"
#include "recent_frames.hpp"
#include "recordkv/core/backoff.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/rate_limited.hpp"
#include "recordkv/firehose/source.hpp"
#include "recordkv/firehose/websocket.hpp"
#include "skipped_messages.hpp"

#include <functional>

namespace recordkv::firehose {

/// How one connection begins.
struct opening {
  ws_url url;
  std::string hello;  ///< sent first; empty: nothing
};

/// Where to begin: behind `seq`; without it behind `behind`; without both at the oldest event or live.
struct resume_point {
  std::optional<std::uint64_t> seq;  ///< of the furthest event that next() returned; tested by the numbers that follow
  start_at start = start_at::live;
  std::optional<std::uint64_t> behind;  ///< a number that was asked for, or a time in µs
  double time = 0;                      ///< the newest believable time of what was returned
  double rev_time = 0;                  ///< the newest believable time inside a rev
};

/// From here on a Jetstream number is a time in µs.
inline constexpr std::uint64_t first_time_us = 1'000'000'000'000'000;

struct dialect {
  std::string_view part;                                ///< names the source in log lines
  ws_message::type carrier = ws_message::type::binary;  ///< a message of another type is skipped
  bool strict_order = false;  ///< seq rises strictly: what does not is a repetition, comes late, or is numbered anew
  result<atproto::glance> (*glance)(std::string_view) = nullptr;
  /// errc::bad_config when the spec cannot be turned into a request.
  std::function<result<opening>(const resume_point&)> open;
};

class stream_source final : public frame_source {
 public:
  stream_source(asio::any_io_executor ex, source_spec spec, dialect d, meters& counters);
  task<result<std::vector<frame>>> next() override;
  void close() noexcept override;
  void redial() noexcept override;
  std::string trouble() const override { return trouble_; }

 private:
  using clock = std::chrono::steady_clock;

  task<result<>> reconnect();
  task<> wait_until_due();
  result<> dial_failed(const error& e);
  void connected(const opening& o);
  void drop(std::string_view word, std::string_view reason, std::chrono::milliseconds at_least = {});
  void lost(const error& e);

  std::vector<frame> sort(std::vector<ws_message>& messages);
  bool accept(ws_message& m, std::vector<frame>& out);  // false: the connection was dropped
  bool deliver(ws_message& m, atproto::glance g, std::vector<frame>& out);

  // numbering.cpp
  bool believable(std::uint64_t seq) const;
  enum class order { in_turn, late, repeated };
  order advance(const atproto::glance& g, std::string_view bytes, std::vector<frame>& out);
  order place_behind(const atproto::glance& g, std::string_view bytes, bool first, std::vector<frame>& out);
  void note_newest(const atproto::glance& g);
  bool comparable(const atproto::glance& g) const;
  bool newer_event(const atproto::glance& g) const;
  bool went_back(const atproto::glance& g, std::vector<frame>& out);  // true: the numbers began anew
  bool other_numbering(const atproto::glance& g) const;
  std::uint64_t time_with_overlap() const;
  void resume_by_time(const atproto::glance& g, std::vector<frame>& out);
  void begin_numbering(const atproto::glance& g);
  void compare(const atproto::glance& g, std::vector<frame>& out);
  source_gap outdated_gap() const;
  void begin_seam();
  bool about_stream(ws_message& m, atproto::glance g, std::vector<frame>& out);
  bool error_frame(const error& said, std::vector<frame>& out);
  bool skip(const ws_message& m, std::string_view word, std::vector<frame>& out);
  void numbering_went_back(std::string_view why, std::vector<frame>& out);
  std::string place() const;

  asio::any_io_executor ex_;
  source_spec spec_;
  dialect dialect_;
  meters& counters_;
  std::uint64_t& frames_;
  std::uint64_t& bytes_;

  bool closed_ = false;
  event stop_;
  std::unique_ptr<websocket> ws_;
  std::vector<ws_message> messages_;
  std::vector<frame> ready_;  // notices that arose while no frame was being read
  std::string trouble_;

  backoff backoff_;
  clock::time_point due_;                          // not to dial before
  std::optional<clock::time_point> connected_at_;  // this connection
  std::uint64_t frames_here_ = 0;

  resume_point from_;
  continuity seam_;
  std::optional<gap_cause> by_time_;  // the next connection's numbers can't be compared with ours, and why
  recent_frames recent_;
  skipped_messages skipped_;
  rate_limited late_told_, error_told_;
  std::optional<clock::time_point> left_at_, left_as_slow_at_;  // when an error frame ended a connection last
  bool fresh_ = false;                                          // no numbered frame on this connection yet
  bool was_connected_ = false;                                  // once at least: what refuses us later may pass
  struct {
    std::uint64_t first = 0, last = 0;
    int events = 0, untimed = 0;
  } back_;               // a run of rising numbers, all behind from_.seq, of newer events
  bool silent_ = false;  // dropped by redial()
  int resets_ = 0;       // of the numbering, without a frame in between
};

}  // namespace recordkv::firehose
