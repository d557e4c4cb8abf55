// A view's rows and its position in the store, in one database, changed in one transaction.
//
// Owns: the contract of a database of views. Implementations: SQLite (src/view/sqlite/store.cpp) and PostgreSQL
// (src/view/postgres/store.cpp). Refuses to know: NATS, and how a record becomes rows.
//
// A view has up to two builds at a time. The live one's table bears the view's name and answers. The next one, made
// when the definition has changed, a rebuild is wanted or the store is another, stands beside it under NAME__next and
// takes the name in one transaction once it has caught up. Readers never see a half-built table, nor none.
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
  std::uint64_t number = 0;  ///< its identity in this database; grows, and is never used again
  bool live = false;
  std::string hash;              ///< plan::hash() of what it was built from
  std::string definition;        ///< plan::definition of it
  position at;                   ///< `created` empty: nothing was ever folded in, the table stands empty
  std::uint64_t bulk_until = 0;  ///< not 0: being loaded in bulk, up to this sequence; it has no indexes yet
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

/// How the database fares while it works: what grows because another program keeps a transaction open.
struct upkeep {
  std::string database;                      ///< which, for a label: the path, or the URL without its password
  std::optional<std::uint64_t> wal_bytes;    ///< SQLite: the committed part of the write-ahead log
  std::optional<double> oldest_transaction;  ///< PostgreSQL: age in seconds of another program's
  std::string warning;                       ///< what, why, and the remedy; empty: nothing to be done
};

class store {
 public:
  virtual ~store() = default;

  /// Opens (creates) what a configuration's `index.database` names: "sqlite:PATH" with PATH absolute or relative to the
  /// working directory, or a postgresql:// URL. `patience`: how long any call waits for another program's lock.
  /// errc::storage with the place, the reason and a remedy; errc::bad_config for any other scheme. For PostgreSQL a
  /// server that is not there yet is no error here: the first call says so.
  static result<std::unique_ptr<store>> open(asio::io_context& io, const std::string& database,
                                             std::chrono::milliseconds patience = std::chrono::seconds(5));

  // All calls: the arguments must live until they return. Calls for one view run one after another, in the order in
  // which they were awaited. errc::storage: the database failed; nothing was changed, and the same call may be tried
  // again (a lost connection to PostgreSQL is made anew by the next call). Its text holds "locked" where another
  // program holds a lock, "full" where the disk is. errc::conflict: the build is no longer there, or stands elsewhere;
  // look again.

  /// Which builds there are.
  virtual task<result<builds>> look(std::string view) = 0;

  /// Begins a next build, empty, at `start`, and drops a next one that is there. Where the view has no live build, an
  /// empty live one comes with it, so that a reader finds a table from the first moment on. The wish for a rebuild is
  /// fulfilled by it. `expected_next`: number of the next build that look() told, 0 for none; errc::conflict when there
  /// is another by now. errc::mismatch: a table of that name stands there which is no view's.
  /// errc::bad_config: the database does not understand one of the plan's hooks.
  /// `bulk_until` not 0: until sequence so and so the build is loaded in bulk, see apply(); unless the plan has hooks,
  /// which may ask for rows by their key: then it is not, and build::bulk_until of the answer says 0.
  virtual task<result<build>> begin(const plan& p, position start, std::uint64_t bulk_until,
                                    std::uint64_t expected_next) = 0;

  /// Applies changes and moves the position of build `number` from `previous` to `next`, all in one transaction: the
  /// partitions that `next` names; others belong to other processes and stay. errc::conflict, nothing changed: what is
  /// stored of these partitions is not `previous`, the history is another, or the build is gone. Of several changes of
  /// one key the last wins. What the database refuses of a single record (a hook's constraint) makes that one a reject
  /// and lets the others pass.
  /// While the build is loaded in bulk, changes must be of keys that were never handed in before, each at most once:
  /// its rows are appended, and erasures are nothing.
  struct applied {
    std::uint64_t rows = 0;      ///< written: created or overwritten
    std::uint64_t rejected = 0;  ///< records that did not fit
    std::uint64_t erased = 0;    ///< rows that were there and no longer are; not counted in bulk
    bool live = false;           ///< the build is the live one, by now
  };
  virtual task<result<applied>> apply(const plan& p, std::uint64_t number, const std::vector<change>& changes,
                                      position previous, position next) = 0;

  /// Ends the bulk of build `number`: key, indexes, counters and triggers, in one transaction. Takes seconds a million
  /// rows. Nothing where it is not in bulk.
  virtual task<result<void>> end_bulk(const plan& p, std::uint64_t number) = 0;

  /// Says that these partitions of next build `number` have caught up. Once all of `all_partitions` have been said to,
  /// in the same transaction: the build takes the view's name and what bore it goes. True when it has. The indexes must
  /// be there (end_bulk), else errc::refused. errc::conflict: there is no such next build; it may be live already.
  virtual task<result<bool>> ready(const plan& p, std::uint64_t number, std::vector<std::string> partitions,
                                   std::vector<std::string> all_partitions) = 0;

  /// Drops the next build, if it has this number.
  virtual task<result<void>> abandon(std::string view, std::uint64_t number) = 0;

  /// Asks whoever keeps the view to rebuild it. errc::not_found: there is no such view.
  virtual task<result<void>> want_rebuild(std::string view) = 0;

  /// Rejects of the live build, at most `limit`, oldest first.
  struct reject {
    std::string uri, reason;
    std::uint64_t seq = 0;  ///< of the message that did not fit
  };
  virtual task<result<std::vector<reject>>> rejects(std::string view, std::size_t limit) = 0;

  /// Tries single records again, outside the order of the store: a change counts only while the live build still has a
  /// reject of its uri with its sequence. Returns how many now fit.
  virtual task<result<std::uint64_t>> retry(const plan& p, std::vector<change> changes) = 0;

  /// Every view that has a build here, by name.
  virtual task<result<std::vector<std::string>>> views() = 0;

  /// Looks whether the database grows for another program's sake, and shrinks what may shrink. To be asked every few
  /// seconds.
  virtual task<result<upkeep>> look_after() = 0;

  /// Removes all of a view's tables and builds.
  virtual task<result<void>> drop(std::string view) = 0;
};

/// An answer of a view, for commands: columns by name, as the view's definition types them.
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

/// Rows that meet all conditions. `table`: a view (ordered by its key), or one of its counters, NAME_by_COLUMN (ordered
/// by count, largest first), or NAME_rejects. Blocking and read-only, for use outside the loop; sees the last whole
/// transaction. errc::not_found: no such database or view; errc::bad_config: no such column, or a value that is none of
/// its type; each says what there is.
result<answer> query(const std::string& database, const std::string& table, const std::vector<condition>& where,
                     std::size_t limit);

/// Which builds a view has, as store::look() tells, for commands: blocking and read-only; errors as for query().
result<builds> read_builds(const std::string& database, const std::string& view);

/// A database URL without its password, for messages.
std::string without_password(const std::string& database);

/// The same database for another process of this machine: a file by its absolute path, a URL without its password,
/// which libpq then takes from ~/.pgpass or PGPASSWORD.
std::string name_for_others(const std::string& database);

}  // namespace recordkv::view
