// The hosts of a PostgreSQL URL, looked up off the loop.
//
// Owns: the look-up of names, with an entry for each address. libpq would look them up itself and block the program.
// Does not know: libpq, and the other parts of a URL.
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
  /// Those that are not empty.
  std::vector<std::pair<const char*, const std::string*>> overrides() const;
};

/// Adds `hostaddr` for each host that is not a socket's directory. A URL with a `hostaddr`, or without a host, stays as
/// it is.
task<result<address>> resolved(address a);

/// The entries of the lists; empty: the lists do not fit, which libpq reports. all_of() joins them again.
std::vector<address> each_of(const address& a);
address all_of(const std::vector<address>& list);

}  // namespace recordkv::view::postgres
