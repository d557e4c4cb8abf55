// Views in an SQLite database: one connection, on one thread of its own.
//
// Owns: the transactions in which builds, rows and positions change together, and the connection's settings.
// Does not know: how rows are written (rows.hpp), how builds are made (builds.hpp).
#pragma once

#include "sqlite/builds.hpp"
#include "sqlite/rows.hpp"
#include "sqlite/wal_checkpoints.hpp"
#include "sqlite/wal_watch.hpp"

#include "recordkv/view/store.hpp"

#include <boost/asio/thread_pool.hpp>

#include <map>

namespace recordkv::view {

class sqlite_store final : public store {
 public:
  explicit sqlite_store(database db) : checkpoints_(db.path()), db_(std::move(db)) { checkpoints_.attach(db_); }
  ~sqlite_store() override { thread_.join(); }  // before the statements and the connection go

  /// Applies the settings and makes the table of builds. Called once, before anything else. `patience`: how long it
  /// waits for other processes that open the same file.
  static result<void> settle(database& db, std::chrono::milliseconds patience);

  task<result<builds>> look(std::string view) override;
  task<result<build>> begin(const plan& p, position start, std::uint64_t bulk_until,
                            std::uint64_t expected_next) override;
  task<result<applied>> apply(const plan& p, std::uint64_t number, const std::vector<change>& changes,
                              position previous, position next) override;
  task<result<void>> end_bulk(const plan& p, std::uint64_t number) override;
  task<result<bool>> ready(const plan& p, std::uint64_t number, std::vector<std::string> partitions,
                           std::vector<std::string> all_partitions) override;
  task<result<void>> abandon(std::string view, std::uint64_t number) override;
  task<result<void>> want_rebuild(std::string view) override;
  task<result<std::vector<reject>>> rejects(std::string view, std::size_t limit) override;
  task<result<std::uint64_t>> retry(const plan& p, std::vector<change> changes) override;
  task<result<std::vector<std::string>>> views() override;
  task<result<upkeep>> look_after() override;
  task<result<void>> drop(std::string view) override;

 private:
  // The same calls, on the thread.
  result<builds> look_now(const std::string& view);
  result<build> begin_now(const plan& p, const position& start, std::uint64_t bulk_until, std::uint64_t expected_next);
  result<applied> apply_now(const plan& p, std::uint64_t number, const std::vector<change>& changes,
                            const position& previous, const position& next);
  result<void> end_bulk_now(const plan& p, std::uint64_t number);
  result<bool> ready_now(const plan& p, std::uint64_t number, const std::vector<std::string>& partitions,
                         const std::vector<std::string>& all_partitions);
  result<void> abandon_now(const std::string& view, std::uint64_t number);
  result<void> want_rebuild_now(const std::string& view);
  result<std::vector<reject>> rejects_now(const std::string& view, std::size_t limit);
  result<std::uint64_t> retry_now(const plan& p, const std::vector<change>& changes);
  result<std::vector<std::string>> views_now();
  result<void> drop_now(const std::string& view);

  /// A transaction that writes no rows of records. Triggers are on in it: they may be another program's.
  result<transaction> begin_change();
  result<void> refuse_foreign_tables(const plan& p, const stored_builds& ours);
  result<void> wish(const std::string& view, bool wanted);
  result<sqlite_rows*> rows_of(const plan& p, const stored_build& b);

  wal_checkpoints checkpoints_;
  database db_;
  std::map<std::uint64_t, sqlite_rows> prepared_;  ///< by number of the build
  wal_watch watch_;
  asio::thread_pool thread_{1};
};

}  // namespace recordkv::view
