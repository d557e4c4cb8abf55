// The position of a source: its key in bucket `cursor` (docs/invariants.md X4, X5).
//
// Owns: the key's form, its compare-and-set, the decision where reading begins, and taking over a key that an earlier
// version wrote under another name.
// Does not know: frames, and when something is settled.
#pragma once

#include "configured_source.hpp"
#include "recordkv/core/source_position.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_names.hpp"

#include <functional>
#include <optional>
#include <string>

namespace recordkv::stages {

class cursor {
 public:
  cursor(nats::connection& nc, const kv::store_names& names, source_key source)
      : bucket_(nc, names.cursor()), key_(std::move(source)) {}

  const std::string& source() const noexcept { return key_.name; }
  std::uint64_t epoch() const noexcept { return epoch_; }
  std::optional<std::uint64_t> value() const noexcept {
    return at_ ? std::optional(at_->seq) : std::nullopt;  // 0 is a value
  }
  /// The value with the time of its event, if that is known.
  const std::optional<source_position>& at() const noexcept { return at_; }

  /// Opens the bucket and reads the key, if there is one. errc::mismatch: the key does not hold a cursor. A cursor
  /// from the future is replaced by the time stored with it, or by 0, which means the oldest event.
  task<result<nats::ensured>> open(int replicas);
  task<result<void>> read();

  /// Compare-and-set. Within an epoch the cursor never moves back: a lower value is not written. errc::lease_lost:
  /// another process has written it.
  task<result<void>> write(source_position value, std::string server_id);

  /// Reads the cursor and writes it again unchanged, with its epoch and server id, under the name of this process. A
  /// process that held the lease before and was suspended can then no longer write it. If it has just done so, the
  /// cursor is read again, while `still_ours` is true.
  task<result<void>> take_over(std::function<bool()> still_ours);

  /// The source's numbering starts again: the next write carries the next epoch, and the old value means nothing.
  void begin_epoch() noexcept;

  /// The last message in the buffer, as far as it tells where reading may go on.
  struct buffered {
    std::string source;
    std::uint64_t seq = 0;
    std::uint64_t epoch = 0;
    double time = 0;  ///< of its event; 0: not known
  };

  /// Where reading begins (X4). After the last buffered frame, if that is of this source and epoch and the server has
  /// not restarted since the cursor was written. Otherwise at the cursor; nullopt: there is none yet.
  std::optional<source_position> resume_at(const std::optional<buffered>& last, const std::string& server_id) const;

 private:
  task<result<kv::entry>> find();
  task<result<kv::entry>> former(const result<kv::entry>& current);
  task<result<void>> retire(std::string former);
  void repair();

  kv::bucket bucket_;
  source_key key_;
  std::string former_;  // the key of an earlier version, until it is replaced
  std::optional<source_position> at_;
  std::uint64_t epoch_ = 0;
  std::string server_id_;  // of the server that was connected when the value was written
  std::uint64_t seq_ = 0;
};

/// Reads the last message of the buffer; nullopt if the buffer is empty.
task<result<std::optional<cursor::buffered>>> last_buffered(nats::connection& nc, kv::store_names names);

}  // namespace recordkv::stages
