// The hosts of a PostgreSQL URL, looked up off the loop.
//
// Owns: names made into addresses, as many entries as there are addresses. libpq would look them up by itself, and the
// whole program would stand still meanwhile.
// Refuses to know: libpq, everything else that a URL says.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace recordkv::view::postgres {

/// `host`, `hostaddr` and `port` as libpq takes them: lists with commas.
struct address {
  std::string host, hostaddr, port;

  void take(std::string_view key, std::string_view text);
  /// Those that have something to say.
  std::vector<std::pair<const char*, const std::string*>> overrides() const;
};

/// With `hostaddr` for each host that is no socket's directory. A URL that says `hostaddr` itself, or no host at all:
/// as it is.
task<result<address>> resolved(address a);

/// Its entries one by one; empty where the lists do not fit (libpq says so). all_of() puts them together again.
std::vector<address> each_of(const address& a);
address all_of(const std::vector<address>& list);

}  // namespace recordkv::view::postgres
