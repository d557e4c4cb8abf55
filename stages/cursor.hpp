// Where a source stands: its key in bucket `cursor` (docs/invariants.md X4, X5).
//
// Owns: the key's form, its compare-and-set, the decision where reading begins.
// Refuses to know: frames, and when something is settled.
#pragma once

#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/store_names.hpp"

#include <functional>
#include <optional>
#include <string>

namespace recordkv::stages {

class cursor {
 public:
  /// `source`: "{kind}.{enc(host)}", the key.
  cursor(nats::connection& nc, const kv::store_names& names, std::string source)
      : bucket_(nc, names.cursor()), source_(std::move(source)) {}

  const std::string& source() const noexcept { return source_; }
  std::uint64_t epoch() const noexcept { return epoch_; }
  std::optional<std::uint64_t> value() const noexcept { return value_; }

  /// Opens the bucket and reads the key, if there is one. errc::mismatch: the key holds something that is not a cursor.
  task<result<nats::ensured>> open(int replicas);
  task<result<void>> read();

  /// Compare-and-set. errc::not_owner: another process has written it.
  task<result<void>> write(std::uint64_t value, std::string server_id);

  /// Reads it and writes it again as it stands, with its epoch and server id, under our own name: whoever had the lock
  /// before and wakes up now can no longer write it. He may just have done so; then it is read again, while
  /// `still_ours`.
  task<result<void>> take_over(std::function<bool()> still_ours);

  /// The source's numbering begins anew: the next write carries the next epoch, and the old value means nothing.
  void begin_epoch() noexcept;

  /// The last message that stands in the buffer, as far as it tells where reading may go on.
  struct buffered {
    std::string source;
    std::uint64_t seq = 0;
    std::uint64_t epoch = 0;
  };

  /// Where reading begins (X4): behind the last buffered frame only if it is of this source and epoch and the server
  /// has not restarted since the cursor was written; otherwise at the cursor; nullopt: nowhere yet.
  std::optional<std::uint64_t> resume_at(const std::optional<buffered>& last, const std::string& server_id) const;

 private:
  kv::bucket bucket_;
  std::string source_;
  std::optional<std::uint64_t> value_;
  std::uint64_t epoch_ = 0;
  std::string server_id_;  // of the server that was connected when the value was written
  std::uint64_t seq_ = 0;
};

/// Reads what stands last in the buffer; nullopt when it is empty.
task<result<std::optional<cursor::buffered>>> last_buffered(nats::connection& nc, kv::store_names names);

}  // namespace recordkv::stages
