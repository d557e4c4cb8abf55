// A NATS key-value bucket, as far as recordkv uses one: get, put, delete, compare-and-set, many at once.
//
// Owns: subjects and headers of KV operations (ADR-8); it keeps nothing in memory.
// Does not know: what the values mean.
#pragma once

#include "recordkv/nats/jetstream.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

struct entry {
  std::string value;
  std::uint64_t seq = 0;  ///< the sequence that a compare-and-set must name
  bool deleted = false;   ///< the newest message is a delete marker; value is empty
  std::string time;       ///< when it was stored, by the server's clock (RFC 3339); only from get()
  std::vector<std::pair<std::string, std::string>> headers;
  std::string_view header_value(std::string_view name) const noexcept;
};

/// One compare-and-set: stored only while the key's newest sequence is `expected` (0: the key has never been written).
struct write {
  std::string key;
  std::string value;
  nats::header_list headers;
  std::uint64_t expected = 0;
  /// Only the holder of a lease writes this key. If the write arrived after another process had acquired the lease and
  /// read the key, that process could not write it any more. errc::unreachable at once while the connection is down.
  bool of_lease = false;
};

class bucket {
 public:
  bucket(nats::connection& nc, std::string name) : nc_(nc), name_(std::move(name)) {}

  const std::string& name() const noexcept { return name_; }
  std::string stream() const { return "KV_" + name_; }
  std::string subject(std::string_view key) const { return fmt::format("$KV.{}.{}", name_, key); }

  /// Makes the bucket with history 1, or accepts an existing one (see nats::ensure).
  task<result<nats::ensured>> open(std::string storage = "file", int replicas = 1);

  /// The newest value, from the stream's leader. errc::not_found; a deleted key is an entry with `deleted`.
  task<result<entry>> get(std::string key);

  /// Many keys at once, in the given order; an absent key is an entry with seq 0. After an error none is known.
  task<result<std::vector<entry>>> get_many(std::vector<std::string> keys);

  /// The keys of the bucket, deleted ones included. For small buckets: the server visits every key. errc::not_found:
  /// there is no such bucket.
  task<result<std::vector<std::string>>> keys();

  /// errc::conflict: another process wrote first. errc::timed_out: it is not known whether the value was stored.
  task<result<std::uint64_t>> update(write w);
  task<std::vector<result<std::uint64_t>>> update_many(std::vector<write> ws);

  /// Stores the value whatever the key holds. Returns its sequence.
  task<result<std::uint64_t>> put(std::string key, std::string value);

  /// Deletes the key by a delete marker, while its newest sequence is `expected`. Errors as in update().
  task<result<std::uint64_t>> remove(std::string key, std::uint64_t expected);

 private:
  nats::connection& nc_;
  std::string name_;
};

/// Removes the stream of a bucket, or any stream. errc::not_found when there is none.
task<result<void>> remove_stream(nats::connection& nc, std::string stream);

}  // namespace recordkv::kv
