// A view's rows and its position in the store, in one database, changed in one transaction.
//
// Owns: the contract of a database of views. Implementations: SQLite (src/view/sqlite/store.cpp) and PostgreSQL
// (src/view/postgres/store.cpp). Does not know: NATS, and how a record becomes rows.
//
// A view has up to two builds at a time. The live build's table has the view's name and serves queries. A next build is
// made when the definition changes, a rebuild is wanted, or the store is another. Its table is NAME__next. Once it has
// caught up, one transaction gives it the view's name. Readers never see a half-built table, nor a missing one.
//
//   table            NAME               NAME__next                the rows
//                    NAME_by_COLUMN     NAME__next_by_COLUMN      for each `count`: COLUMN, count
//                    NAME_rejects       NAME__next_rejects        uri, reason, seq
//   recordkv_builds  one row a build: number, live or next, hash, definition, position
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/view/plan.hpp"
#include "recordkv/view/position.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::view {

struct build {
  std::uint64_t number = 0;  ///< its identity in this database; it grows and is never used twice
  bool live = false;
  std::string hash;              ///< plan::hash() of what it was built from
  std::string definition;        ///< plan::definition of it
  position at;                   ///< `created` empty: nothing was ever folded in, and the table is empty
  std::uint64_t bulk_until = 0;  ///< not 0: loaded in bulk up to this sequence, and without indexes so far
};

struct builds {
  std::optional<build> live, next;
  bool rebuild_wanted = false;
};

/// One key's newest value, in store order, as rows.
struct change {
  bool erase = false;
  std::string did, collection, rkey;
  std::uint64_t seq = 0;         ///< of its message in the store
  std::vector<cells> rows;       ///< of extract(); empty: older rows of the key go, none come
  std::string rejection_reason;  ///< of extract(); not empty: goes to the rejects
  // Only where plan::has_hooks(), for :cid, :rev, :time and :record.
  std::string cid, rev, time, json;
};

/// The state of a database that works: what grows because another program keeps a transaction open.
struct upkeep {
  std::string database;                      ///< for a label: the path, or the URL without its password
  std::optional<std::uint64_t> wal_bytes;    ///< SQLite: the committed part of the write-ahead log
  std::optional<double> oldest_transaction;  ///< PostgreSQL: age in seconds of another program's
  std::string warning;                       ///< what, why, and the remedy; empty: nothing to do
};

class store {
 public:
  virtual ~store() = default;

  /// Opens or creates the database that `index.database` names: "sqlite:PATH", absolute or relative to the working
  /// directory, or a postgresql:// URL. `patience`: how long any call waits for another program's lock.
  /// A storage error names the place, the reason and a remedy. errc::bad_config: any other scheme.
  /// A PostgreSQL server that does not run yet is no error here. The first call reports it.
  static result<std::unique_ptr<store>> open(asio::io_context& io, const std::string& database,
                                             std::chrono::milliseconds patience = std::chrono::seconds(5));

  // All calls: the arguments must live until they return. Calls for one view run one after another, in the order in
  // which they were awaited.
  // of_storage(code): the database failed, and nothing was changed. The same call may be tried again; a lost connection
  // to PostgreSQL is made anew. errc::locked: another program holds a lock. errc::no_space: the disk is full.
  // errc::unavailable: the server is away for now. errc::storage: anything else, which waiting may not mend.
  // errc::conflict: the build is gone, or its position is another. Look again.

  /// The builds of a view.
  virtual task<result<builds>> look(std::string view) = 0;

  /// Begins an empty next build at `start`, and drops an older next build. If the view has no live build, an empty
  /// live one is made too, so that a reader always finds a table. The wish for a rebuild ends.
  /// `expected_next`: the number of the next build that look() returned, 0 for none. errc::conflict: it is another now.
  /// errc::mismatch: a table of that name exists and is not this view's.
  /// errc::bad_config: the database does not understand a hook of the plan.
  /// `bulk_until` not 0: the build is loaded in bulk up to this sequence, see apply(). A plan with hooks is never
  /// loaded in bulk, because hooks may ask for rows by their key. Then build::bulk_until of the answer is 0.
  virtual task<result<build>> begin(const plan& p, position start, std::uint64_t bulk_until,
                                    std::uint64_t expected_next) = 0;

  /// Applies changes and moves the position of build `number` from `previous` to `next`, in one transaction. Only the
  /// partitions that `next` names move; the others belong to other processes.
  /// errc::conflict, nothing changed: these partitions are not at `previous`, the history is another, or the build is
  /// gone. Of several changes of a key the last one counts. A record that the database refuses, for a hook's
  /// constraint, becomes a reject, and the others pass. In bulk each key may come once, and rows are appended. Erasures
  /// have no effect then.
  struct applied {
    std::uint64_t rows = 0;      ///< written: created or overwritten
    std::uint64_t rejected = 0;  ///< records that did not fit
    std::uint64_t erased = 0;    ///< rows that were removed; not counted in bulk
    bool live = false;           ///< the build is the live one now
  };
  virtual task<result<applied>> apply(const plan& p, std::uint64_t number, const std::vector<change>& changes,
                                      position previous, position next) = 0;

  /// Ends the bulk of build `number`: makes key, indexes, counters and triggers, in one transaction. It takes seconds
  /// for a million rows. Without a bulk nothing is done.
  virtual task<result<void>> end_bulk(const plan& p, std::uint64_t number) = 0;

  /// Notes that these partitions of next build `number` have caught up. Once all of `all_partitions` have, the same
  /// transaction swaps: the older live build goes, and this one takes the view's name. True: it was swapped.
  /// errc::refused: the bulk has not ended (end_bulk). errc::conflict: no such next build; it may be live already.
  virtual task<result<bool>> ready(const plan& p, std::uint64_t number, std::vector<std::string> partitions,
                                   std::vector<std::string> all_partitions) = 0;

  /// Drops the next build, if it has this number.
  virtual task<result<void>> abandon(std::string view, std::uint64_t number) = 0;

  /// Asks the process that runs the view to rebuild it. errc::not_found: there is no such view.
  virtual task<result<void>> want_rebuild(std::string view) = 0;

  /// Rejects of the live build, at most `limit`, oldest first.
  struct reject {
    std::string uri, reason;
    std::uint64_t seq = 0;  ///< of the message that did not fit
  };
  virtual task<result<std::vector<reject>>> rejects(std::string view, std::size_t limit) = 0;

  /// Tries single records again, outside the order of the store. A change counts only if the live build still has a
  /// reject with its uri and its sequence. Returns how many fit now.
  virtual task<result<std::uint64_t>> retry(const plan& p, std::vector<change> changes) = 0;

  /// The names of all views that have a build here.
  virtual task<result<std::vector<std::string>>> views() = 0;

  /// Finds out whether another program makes the database grow, and shrinks what it can. Call it every few seconds.
  virtual task<result<upkeep>> look_after() = 0;

  /// Removes all of a view's tables and builds.
  virtual task<result<void>> drop(std::string view) = 0;
};

/// An answer of a view, for commands: columns by name, with the types of the view's definition.
struct answer {
  struct heading {
    std::string name;
    column_type type = column_type::text;
  };
  std::vector<heading> columns;
  std::vector<cells> rows;
};
struct condition {
  std::string column;
  std::string value;  ///< as text; booleans as "true" and "false"
};

/// Rows that meet all conditions. `table`: a view, ordered by its key; or NAME_by_COLUMN, ordered by count, largest
/// first; or NAME_rejects. Blocking and read-only, for use outside the loop. It sees the last whole transaction.
/// errc::not_found: no such database or view. errc::bad_config: no such column, or a value of another type.
result<answer> query(const std::string& database, const std::string& table, const std::vector<condition>& where,
                     std::size_t limit);

/// The builds of a view, as store::look() returns them, for commands. Blocking and read-only; errors as for query().
result<builds> read_builds(const std::string& database, const std::string& view);

/// A database URL without its password, for messages.
std::string without_password(const std::string& database);

/// The same database for another process of this machine: a file by its absolute path, a URL without its password.
/// libpq then takes the password from ~/.pgpass or PGPASSWORD.
std::string name_for_others(const std::string& database);

}  // namespace recordkv::view
