// What a mirror must hold in the end: the fold of all events, key by key.
//
// Owns: the last word on each key, and the file that test/oracle/check_store.py reads.
// Does not know: wires, stores, and recordkv's own key codec; it has its own, from the same specification.
#pragma once

#include "world.hpp"

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace recordkv::sim {

/// A live record, for popular_posts().
struct seen_record {
  std::string_view uri;
  collection where = collection::like;
  std::string_view json;
};

/// AT-URIs of posts, each with the DIDs of the accounts that like it, each once.
using liked_posts = std::vector<std::pair<std::string, std::vector<std::string>>>;

/// The `count` posts with most likes.
liked_posts popular_posts(const std::vector<seen_record>& live, std::size_t count);
/// Names each post and a few of the accounts that like it, on standard output.
void print_tour(const liked_posts& posts);

class truth {
 public:
  explicit truth(unsigned partitions = 16) : partitions_(partitions) {}

  /// Folds in the first `count` events of a step.
  void fold(const step& s, std::string_view did, std::size_t count);

  /// A line of parameters that begins with '#', then a line a key, in the keys' byte order:
  ///   key TAB live|deleted TAB at-uri TAB cid TAB rev TAB create|update|delete TAB time_us TAB record
  /// cid and record are empty where deleted. JSON text holds no raw tab or line end, so nothing is escaped.
  void write(std::ostream& out, const parameters& p, std::uint64_t events) const;

  /// popular_posts() of what is live.
  liked_posts popular(std::size_t count) const;

  std::size_t live() const noexcept { return live_; }
  std::size_t deleted() const noexcept { return keys_.size() - live_; }

 private:
  struct entry {
    action last = action::remove;
    collection where = collection::like;
    std::string uri;
    std::string cid;
    std::string record;
    std::uint64_t rev = 0;
    std::uint64_t time_us = 0;
  };
  unsigned partitions_;
  std::unordered_map<std::string, entry> keys_;
  std::size_t live_ = 0;
};

/// The truth of the first `events` events, from a world of its own.
truth truth_after(const parameters& p, std::uint64_t events, unsigned partitions);

}  // namespace recordkv::sim
