// The form of a record's message in the store.
//
// Owns: its subject and headers (docs/subjects.md).
// Does not know: which records are written, and why one can't be.
#pragma once

#include "recordkv/atproto/event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/nats/ports.hpp"

#include <string>

namespace recordkv::stages {

class record_writer {
 public:
  record_writer(nats::outbox& out, std::string bucket, unsigned partitions, meters& counters)
      : out_(out), bucket_(std::move(bucket)), partitions_(partitions), counters_(counters) {}

  /// Puts the record that the change holds, and takes its CID and JSON out of it. `of` gives did, rev and time. Errors
  /// are the outbox's.
  task<result<nats::ordinal>> put(const atproto::repo_event& of, atproto::record_change& c);
  /// Puts a delete marker: for a delete, and where an older value would look current.
  task<result<nats::ordinal>> erase(const atproto::repo_event& of, const atproto::record_change& c);

  nats::outbox& out() noexcept { return out_; }

 private:
  std::string subject_of(const atproto::repo_event& of, const atproto::record_change& c) const;

  nats::outbox& out_;
  std::string bucket_;
  unsigned partitions_;
  meters& counters_;
};

}  // namespace recordkv::stages
