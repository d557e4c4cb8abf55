// Writes an SQLite database's write-ahead log into the database, mostly beside the writer.
//
// Owns: when that is done, on which thread, and the second connection that does it. Does not know: views, and what
// happens if a reader prevents it (wal_watch.hpp).
//
// An automatic checkpoint runs inside a commit. With 64 MB of log it makes the next rows wait for a tenth of a second.
// Here another connection writes most of the log while the writer goes on. The writer itself finishes the small rest,
// since only then the log can begin anew.
#pragma once

#include "recordkv/core/task.hpp"
#include "sqlite/database.hpp"

#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <string>

namespace recordkv::view {

class wal_checkpoints {
 public:
  /// Pages in the log: from `beside` on the other connection works, and after each `again` once more; from `within` on
  /// the commit does. A page that was written many times is written into the database once, so the first is not much
  /// smaller than the last.
  struct limits {
    int beside = 12'000, again = 2'000, within = 16'000;
  };

  explicit wal_checkpoints(std::string path) : wal_checkpoints(std::move(path), limits{}) {}
  wal_checkpoints(std::string path, limits pages) : path_(std::move(path)), pages_(pages) {}
  ~wal_checkpoints() { thread_.join(); }
  wal_checkpoints(const wal_checkpoints&) = delete;

  /// From now on each commit of `writer` looks at the log, in place of automatic checkpoints. This object must outlive
  /// the connection's last commit.
  void attach(database& writer);

 private:
  static int committed(void* self, sqlite3* writer, const char* schema, int pages);
  void ask(int pages);

  std::string path_;
  limits pages_;
  std::atomic<bool> at_work_ = false;
  int asked_at_ = 0;  // pages; on the writer's thread
  asio::thread_pool thread_{1};
};

}  // namespace recordkv::view
