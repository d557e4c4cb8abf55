// Which events a client wants.
//
// Owns: the three conditions of Jetstream v1, read from a query string or from a client's options_update.
// Does not know: sockets, positions.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace recordkv::sim {

using query = std::vector<std::pair<std::string, std::string>>;

/// The decoded pairs of a request target's query part.
query parse_query(std::string_view target);
/// The value of the last pair of that name, or an empty one.
std::string_view value_of(const query& q, std::string_view name);

class filter {
 public:
  static result<filter> from(const query& q);
  /// {"type":"options_update","payload":{…}}
  static result<filter> from_message(std::string_view json);

  bool everything() const noexcept { return collections_.empty() && dids_.empty() && max_size_ == 0; }
  /// `tag`: number of the collection, or about_account. `text`: the event.
  bool wants(std::uint16_t tag, std::string_view text) const;

 private:
  result<> want_collection(std::string_view nsid_or_prefix);

  std::vector<bool> collections_;  // by number; empty: all
  std::set<std::string, std::less<>> dids_;
  std::size_t max_size_ = 0;
};

}  // namespace recordkv::sim
