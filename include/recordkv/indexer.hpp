// A user's own indexer: batches of records from the store, in order, continued where they were settled.
//
//   recordkv::feed_spec spec(const recordkv::config&) { return {.durable = "my-likes", .collections = {"…"}}; }
//   recordkv::task<recordkv::result<void>> work(recordkv::record_feed& feed) {
//     while (auto batch = co_await feed.next()) { …; feed.settle(*batch); }
//     co_return feed.ended();
//   }
//   constexpr recordkv::stage_entry mine[] = {{"my-likes", recordkv::indexer<spec, work>, "counts likes"}};
//   int main(int argc, char** argv) { return recordkv::run(argc, argv, mine); }
//
// Owns: what a reader learns of a record, the durable's single owner, the rewind, the position.
// Does not know: what is made of the records. The work must tolerate repetition: records that were not settled are
// delivered again after a kill, in the same order (docs/invariants.md X6).
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/nats/message.hpp"
#include "recordkv/stage.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv {

/// One message of the store. The views are valid as long as its batch lives.
struct record {
  std::string did, collection, rkey;
  std::string_view cid;   ///< empty: deleted, or another program wrote it
  std::string_view rev;   ///< empty: written by hand
  std::string_view time;  ///< the commit's, RFC 3339
  std::string_view json;  ///< as stored; empty when deleted. Any program may have written it
  std::uint64_t seq = 0;  ///< stream sequence: later is newer
  bool deleted = false;
  bool created = false;  ///< the writer knew no earlier version; the reader may know one

  std::string uri() const { return "at://" + did + '/' + collection + '/' + rkey; }
  std::string_view op() const { return deleted ? "delete" : created ? "create" : "update"; }
};

class record_batch {
 public:
  auto begin() const noexcept { return records_.begin(); }
  auto end() const noexcept { return records_.end(); }
  std::size_t size() const noexcept { return records_.size(); }
  std::uint64_t last_seq() const noexcept { return records_.empty() ? 0 : records_.back().seq; }

 private:
  friend class record_feed;
  std::vector<record> records_;
  std::vector<nats::message> messages_;
};

struct feed_spec {
  /// The name of the durable consumer, which keeps the position. Empty: no durable; reading starts again each time.
  std::string durable;
  std::vector<std::string> collections;  ///< "app.bsky.feed.like", "app.bsky.graph.*", "*"
  std::string did;                       ///< only this account
  std::string partitions = "all";        ///< or some: "0-7,a"
  bool only_new = false;                 ///< a durable that does not exist yet begins after the store's last message
  /// For a reader that keeps its position itself, in one transaction with its results: go on after this sequence.
  std::optional<std::uint64_t> after;
};

class record_feed {
 public:
  record_feed(const stage_context& ctx, feed_spec spec);
  ~record_feed();

  /// Acquires the durable's lease, finds the position, rewinds. errc::lease_lost: another process reads this durable;
  /// not_found: there is no store; mismatch: the durable has other settings, or the store has been recreated.
  task<result<void>> open();

  /// The records that have arrived, at least one; each once in the life of this object. An error ends the feed:
  /// errc::closed after close(); mismatch if the store was recreated or cut back meanwhile; lease_lost.
  task<result<record_batch>> next();

  /// Settles these records, and all before them, for good. Never suspends.
  void settle(const record_batch& batch) { settle(batch.last_seq()); }
  void settle(std::uint64_t seq);

  /// How many records were handed out and are not settled.
  std::size_t unsettled() const noexcept;

  /// next() returns errc::closed as soon as it can. Idempotent.
  void close() noexcept;

  /// Why next() has ended: no error after close(), otherwise the error.
  result<void> ended() const;

  /// Sends the last settlements and releases the lease. To be called after open() and before destruction, in any case.
  task<> finish();

 private:
  class impl;
  std::unique_ptr<impl> impl_;
};

using indexer_spec = feed_spec (*)(const config& cfg);
using indexer_work = task<result<void>> (*)(record_feed& feed);
result<std::unique_ptr<stage>> make_indexer(stage_context& ctx, indexer_spec spec, indexer_work work);

/// A stage for the table of recordkv::run, made of two functions.
template <indexer_spec Spec, indexer_work Work>
result<std::unique_ptr<stage>> indexer(stage_context& ctx) {
  return make_indexer(ctx, Spec, Work);
}

}  // namespace recordkv
