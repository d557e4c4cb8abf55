// How far a list of accounts was read: key `follow.{partitions}` of bucket `repo`.
//
// Owns: the JSON form. Does not know: how lists are read. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace recordkv::stages {

struct list_progress {
  std::string of;                 ///< which lists: progress of others does not count
  std::string hosts_cursor;       ///< of the page of hosts that is being read
  std::string host;               ///< of that page: the host whose accounts are being read; empty: the first
  std::string cursor;             ///< of the page of accounts that comes next
  std::uint64_t of_host = 0;      ///< what the pages of that host cost so far (account_lists.cpp)
  std::uint64_t passed_over = 0;  ///< hosts that could not be read to their end
  std::uint64_t found = 0;        ///< accounts on the pages so far, those of other partitions included
  std::uint64_t inactive = 0;
  std::uint64_t expected = 0;            ///< accounts that the hosts say they have; 0: not known
  std::int64_t begun = 0, finished = 0;  ///< seconds since 1970; 0: not

  bool operator==(const list_progress&) const = default;
  /// The time that is left, by the accounts found so far. nullopt: not known, or finished.
  std::optional<std::chrono::seconds> left(std::int64_t now) const;
};

std::string to_json(const list_progress& p);
/// Anything else than to_json() writes is an empty progress: the lists are then read from their beginning.
list_progress parse_list_progress(std::string_view json);

}  // namespace recordkv::stages
