#include "sqlite/wal_watch.hpp"

#include "sqlite/lock_holders.hpp"

#include <algorithm>
#include <filesystem>

namespace recordkv::view {
namespace {

// The bytes of the -shm file that a reader locks during its transaction: WAL_READ_LOCK(0) to (4).
constexpr std::uint64_t first_read_lock = 123, last_read_lock = 127;

std::uint64_t size_of(const std::string& file) {
  std::error_code ec;
  const auto size = std::filesystem::file_size(file, ec);
  return ec ? 0 : size;
}

std::string room_left(const std::string& path) {
  std::error_code ec;
  const auto there = std::filesystem::space(path, ec);
  return ec ? "" : fmt::format("; that disk has {} MB left", there.available / 1'000'000);
}

std::string in_words(const std::set<int>& readers) {
  constexpr std::size_t max_named = 5;
  std::string out;
  std::size_t named = 0;
  for (const int pid : readers)
    if (named++ < max_named) out += (out.empty() ? "" : ", ") + process_in_words(pid);
  if (readers.size() > max_named) out += fmt::format(" and {} more", readers.size() - max_named);
  return out;
}

}  // namespace

result<upkeep> wal_watch::look(database& db, clock::time_point now) {
  upkeep out{.database = db.path(), .wal_bytes = size_of(db.path() + "-wal"), .oldest_transaction = {}, .warning = {}};
  if (*out.wal_bytes > max_bytes) {
    auto left = db.empty_wal();
    if (!left) return left.error();
    out.wal_bytes = *left;
  }
  if (*out.wal_bytes > max_bytes)
    held_up(out, db.path(), now);
  else
    not_held_up();
  return out;
}

void wal_watch::held_up(upkeep& out, const std::string& path, clock::time_point now) {
  const bool began_anew = *out.wal_bytes < last_bytes_;  // between two looks: no reader held it all the time
  last_bytes_ = *out.wal_bytes;
  const auto here = lock_holders(path + "-shm", first_read_lock, last_read_lock);
  if (!since_ || began_anew) {
    since_ = now;
    readers_ = here;
  } else {
    std::erase_if(readers_, [&](int pid) { return !here.contains(pid); });
  }
  if (now - *since_ < told_after) return;
  const auto& suspects = readers_.empty() ? here : readers_;
  const auto why = suspects.empty() ? std::string("reads overlap, so that it can never begin anew")
                   : readers_.empty()
                       ? "reads overlap, so that it can never begin anew; the readers are " + in_words(suspects)
                       : in_words(suspects) + " keeps a transaction open";
  out.warning = fmt::format(
      "database {0}: its write-ahead log {0}-wal has grown to {1} MB and cannot begin anew: {2}; end that reader, or "
      "let "
      "it read in short transactions (fuser -v {0}-wal, on the host of a container, names all that have it open){3}",
      path, *out.wal_bytes / 1'000'000, why, room_left(path));
}

}  // namespace recordkv::view
