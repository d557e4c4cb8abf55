// The records that a reader of the store wants, as subjects and as the comparison that subjects cannot express.
//
//   app.bsky.feed.like   exactly this collection:  $KV.record.*.app.bsky.feed.like.*.*
//   app.bsky.graph.*     all that begin with it:   $KV.record.*.app.bsky.graph.>
//   *                    every collection:         no filter at all (measured: twice as fast as one that means "all")
//
// Owns: that notation, its check, filters that do not overlap (NATS refuses overlapping ones).
// Does not know: consumers.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/kv/partition_set.hpp"
#include "recordkv/kv/record_key.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace recordkv::kv {

class record_filter {
 public:
  static constexpr std::size_t max_collections = 64, max_subjects = 256;

  /// `did`: only this account, or empty. `assigned`: "all" or some partitions ("0-7,a"). errc::bad_config names the
  /// wrong word and what to write.
  static result<record_filter> parse(std::vector<std::string> collections, std::string did, std::string_view assigned,
                                     unsigned partitions);

  /// The filters of a consumer; none when everything is wanted.
  std::vector<std::string> subjects(std::string_view bucket) const;

  /// A key that passed the filters may still be unwanted: a prefix and an account do not fit into one subject.
  bool wants(const record_key& key) const;

 private:
  std::vector<std::string> collections_;  // none is covered by another; "" stands for "*", a final "." for a prefix
  std::string did_;
  std::vector<std::string> labels_;  // partitions; empty: all
};

}  // namespace recordkv::kv
