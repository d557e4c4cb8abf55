// Takes what the source has sent: drops a frame because it is not wanted, puts it into the buffer, or notes it.
//
// Owns: that decision, the header of a buffered message, markers for what could not be buffered as it came.
// Does not know: where frames come from, and when they are settled.
#pragma once

#include "buffer_watermark.hpp"
#include "collection_filter.hpp"
#include "cursor.hpp"
#include "frame_gatherer.hpp"
#include "recordkv/firehose/source.hpp"
#include "recordkv/kv/source_gaps.hpp"
#include "recordkv/nats/publisher.hpp"
#include "recordkv/stage.hpp"

#include <optional>
#include <string>
#include <vector>

namespace recordkv::stages {

class frame_router {
 public:
  frame_router(stage_context& ctx, cursor& at, kv::source_gaps& gaps, collection_filter& wanted, nats::publisher& out,
               buffer_watermark& mark)
      : ctx_(ctx), cursor_(at), gaps_(gaps), filter_(wanted), outbox_(out), watermark_(mark) {}

  /// Takes frames that arrived together; those of one partition may share a message. Returns when all of them are in
  /// the publisher's window. Suspends while the buffer is full. An error is the publisher's, or that of the cursor's
  /// first write.
  task<result<void>> take(std::vector<firehose::frame> frames);
  /// Reading begins at another position.
  void begin();
  std::uint64_t buffered() const noexcept { return buffered_; }
  /// Ends the wait for a first cursor that cannot be written.
  void close() noexcept {
    closing_ = true;
    pause_.notify();
  }

 private:
  using piece = frame_gatherer::piece;
  using parcel = frame_gatherer::parcel;

  task<result<void>> take_one(firehose::frame f);
  task<result<void>> take_notice(firehose::frame f);
  task<result<void>> take_late(firehose::frame f);
  void pass(source_position at);
  task<result<void>> gather(piece p);
  task<result<void>> put_gathered();
  task<result<void>> put(parcel p);
  task<result<void>> put_each(parcel p);
  task<result<void>> put_bare(piece p, source_position up_to, bool late = false);
  task<result<nats::ordinal>> send(const std::string& partition, source_position up_to, bool late, std::string payload);
  std::string partition_of(const std::string& did) const;
  task<result<void>> mark_unreadable(const firehose::frame& f);
  task<result<void>> begin_cursor(source_position value);
  task<result<void>> begin_epoch(std::uint64_t first);
  task<result<void>> note_gap(const source_gap& gap);
  std::optional<source_position> place_of(const firehose::frame& f) const;
  source_position place() const;
  bool tries_again(const result<void>& done) const;

  stage_context& ctx_;
  cursor& cursor_;
  kv::source_gaps& gaps_;
  collection_filter& filter_;
  nats::publisher& outbox_;
  buffer_watermark& watermark_;
  frame_gatherer gathered_;
  std::uint64_t buffered_ = 0;
  std::optional<source_position> passed_;       // the last numbered event of this reading
  std::vector<firehose::frame> before_cursor_;  // unreadable ones; they get a position with the first number
  bool closing_ = false;
  event pause_;
};

}  // namespace recordkv::stages
