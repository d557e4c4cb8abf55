#include "sqlite/lock_holders.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <vector>

namespace recordkv::view {
namespace {

template <class Number>
std::optional<Number> number(std::string_view text, int base = 10) {
  Number out{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return ec == std::errc{} && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

struct lock_line {
  locked_bytes where;
  int pid = 0;
};

/// "12: POSIX  ADVISORY  READ 4711 fd:00:1234 124 124"; major and minor are hexadecimal. A line of a process that waits
/// for a lock has "->" behind its number.
std::optional<lock_line> parsed(const std::string& line) {
  std::istringstream in(line);
  const std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
  if (words.size() != 8 || words[1] != "POSIX") return std::nullopt;
  const auto& place = words[5];
  const auto one = place.find(':'), two = place.find(':', one + 1);
  if (one == place.npos || two == place.npos) return std::nullopt;
  const std::string_view all(place);
  const auto pid = number<int>(words[4]);
  const auto major = number<std::uint64_t>(all.substr(0, one), 16);
  const auto minor = number<std::uint64_t>(all.substr(one + 1, two - one - 1), 16);
  const auto inode = number<std::uint64_t>(all.substr(two + 1));
  const auto first = number<std::uint64_t>(words[6]);
  const auto last = words[7] == "EOF" ? UINT64_MAX : number<std::uint64_t>(words[7]);
  if (!pid || !major || !minor || !inode || !first || !last) return std::nullopt;
  return lock_line{{*major, *minor, *inode, *first, *last}, std::max(*pid, 0)};
}

}  // namespace

std::set<int> lock_holders(std::string_view text, const locked_bytes& where) {
  std::set<int> of_device, of_inode;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) {
    const auto l = parsed(line);
    if (!l || l->where.inode != where.inode || l->where.first < where.first || l->where.last > where.last) continue;
    of_inode.insert(l->pid);
    if (l->where.device_major == where.device_major && l->where.device_minor == where.device_minor)
      of_device.insert(l->pid);
  }
  // On some file systems (btrfs, overlays) stat() returns another device than /proc/locks.
  return of_device.empty() ? of_inode : of_device;
}

std::set<int> lock_holders(const std::string& file, std::uint64_t first, std::uint64_t last) {
  struct stat s{};
  if (::stat(file.c_str(), &s) != 0) return {};
  std::ifstream in("/proc/locks");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return lock_holders(text, {gnu_dev_major(s.st_dev), gnu_dev_minor(s.st_dev), s.st_ino, first, last});
}

std::string process_in_words(int pid) {
  if (pid <= 0) return "a process outside this container";
  std::ifstream in(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(in, name);
  return name.empty() ? fmt::format("process {}", pid) : fmt::format("process {} ({})", pid, name);
}

}  // namespace recordkv::view
