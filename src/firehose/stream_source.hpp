// A frame source over WebSocket: what subscribeRepos and Jetstream have in common.
//
// Owns: reconnecting and its delays, the handling of each message, counters and log lines.
// Does not know: URLs, parameters and encodings, which are the dialect's; the meaning of numbers (numbering.hpp).
#pragma once

#include "continuity.hpp"
#include "numbering.hpp"
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

struct dialect {
  std::string_view part;                                ///< names the source in log lines
  ws_message::type carrier = ws_message::type::binary;  ///< a message of another type is skipped
  bool strict_order = false;                            ///< seq rises strictly, see numbering
  result<atproto::frame_summary> (*summarise)(std::string_view) = nullptr;
  /// errc::bad_config when the spec cannot be turned into a request.
  std::function<result<opening>(const resume_point&)> open;
};

class stream_source final : public frame_source {
 public:
  stream_source(asio::any_io_executor ex, source_spec spec, dialect d, meters& counters);
  task<result<std::vector<frame>>> next() override;
  void close() noexcept override;
  void redial() noexcept override;
  std::string last_error() const override { return last_error_; }

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
  bool deliver(ws_message& m, atproto::frame_summary g, std::vector<frame>& out);

  placement::turn place(const atproto::frame_summary& g, std::string_view bytes, std::vector<frame>& out);
  void tell(const placement& p, std::uint64_t seq);
  void resume_by_time(const atproto::frame_summary& g, std::vector<frame>& out);
  void compare(const atproto::frame_summary& g, std::vector<frame>& out);
  source_gap outdated_gap() const;
  void begin_seam();
  bool about_stream(ws_message& m, atproto::frame_summary g, std::vector<frame>& out);
  bool error_frame(const error& said, std::vector<frame>& out);
  bool skip(const ws_message& m, std::string_view word, std::vector<frame>& out);
  void numbering_went_back(std::string_view why, std::vector<frame>& out);
  std::string beginning() const;

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
  std::string last_error_;

  backoff backoff_;
  clock::time_point due_;                          // not to dial before
  std::optional<clock::time_point> connected_at_;  // this connection
  std::uint64_t frames_here_ = 0;

  numbering numbers_;
  continuity seam_;
  std::optional<gap_cause> by_time_;  // the next connection's numbers can't be compared with ours, and why
  skipped_messages skipped_;
  rate_limited late_told_, error_told_;
  std::optional<clock::time_point> left_at_, left_as_slow_at_;  // when an error frame ended a connection last
  bool was_connected_ = false;                                  // once at least: what refuses us later may pass
  bool silent_ = false;                                         // dropped by redial()
};

}  // namespace recordkv::firehose
