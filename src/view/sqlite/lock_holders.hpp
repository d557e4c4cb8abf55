// Which processes hold locks on some bytes of a file, from /proc/locks of Linux.
//
// Owns: that file's format. Does not know: SQLite, and what the bytes mean.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace recordkv::view {

struct locked_bytes {
  std::uint64_t device_major = 0, device_minor = 0, inode = 0;
  std::uint64_t first = 0, last = 0;
};

/// Process ids of the POSIX locks on these bytes. 0: a process outside this container. `text`: of /proc/locks.
std::set<int> lock_holders(std::string_view text, const locked_bytes& where);

/// The same for a file, as it is now; empty: it is unknown.
std::set<int> lock_holders(const std::string& file, std::uint64_t first, std::uint64_t last);

/// "process 4711 (python3)"; "a process outside this container" for 0.
std::string process_in_words(int pid);

}  // namespace recordkv::view
