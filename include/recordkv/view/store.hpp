// A view's rows and its position in the store, in one SQLite database, changed in one transaction.
//
// Owns: the tables of views, table `recordkv_position`, the one thread that speaks to SQLite.
// Refuses to know: NATS, and what a change means: it is told which keys changed and how.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/view/plan.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace recordkv::view {

/// Up to where a view has folded the store (docs/invariants.md X21). Two positions are of the same history only when
/// `created` and `generation` agree.
struct position {
  std::string created;                       ///< the store's creation time as nats-server tells it
  std::uint64_t generation = 0;              ///< key `meta` of bucket `repo`
  std::map<std::string, std::uint64_t> seq;  ///< by partition label: every message of it at or below is folded in
  bool operator==(const position&) const = default;
};

/// One key's newest value, in store order.
struct change {
  bool erase = false;
  std::string did;
  std::string collection;
  std::string rkey;
  std::string json;  ///< empty when erase
};

class store {
 public:
  /// Opens (creates) the database and the directories above it, with WAL. `path`: a file. errc::storage with the path,
  /// SQLite's reason and a remedy. `patience`: how long any call waits for another program's lock.
  static result<std::unique_ptr<store>> open(const std::string& path,
                                             std::chrono::milliseconds patience = std::chrono::seconds(5));
  ~store();  // joins the thread; the io_context that runs the callers must outlive the store
  store(const store&) = delete;

  /// Creates the plan's table, or, when its hash differs from the stored one, drops rows and position and creates it
  /// anew (`rebuilt` says so). Returns the position to go on from: empty `created` when there is none.
  /// errc::mismatch: a table of that name stands there which is no view's.
  /// The plan must live until a call returns; calls run one after another, in the order in which they were awaited.
  struct opened {
    position at;
    bool rebuilt = false;
  };
  task<result<opened>> prepare(const plan& p);

  /// Applies changes and moves the position from `previous` to `next`, all in one transaction: the partitions that
  /// `next` names; others belong to other processes and stay. errc::conflict, nothing changed: what is stored of these
  /// partitions is not `previous` (another writer), or the history is another. Rejected records (extract gave no row)
  /// have their older row deleted and are counted in the result. Changes of other collections than the plan's are
  /// passed over; of several changes of one key the last wins. Large batches are cheaper by the row (each random key
  /// dirties a page or two): while far behind, 50,000 changes at a time fold more than twice as fast as 5,000.
  struct applied {
    std::uint64_t rows = 0;      ///< written: created or overwritten
    std::uint64_t rejected = 0;  ///< records that gave no row
    std::uint64_t erased = 0;    ///< rows that were there and no longer are
  };
  task<result<applied>> apply(const plan& p, std::vector<change> changes, position previous, position next);

  /// Forgets rows and position of a view, of all partitions, in one transaction; it is then as after the first
  /// prepare(). errc::conflict: its history is no longer that of `seen`; another process cleared it before.
  task<result<void>> clear(const plan& p, position seen);

 private:
  struct impl;
  explicit store(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

/// Read-only look-ups for commands; blocking, for use outside the loop. Columns by name, as text; a column that is NULL
/// is left out. They see the last whole batch, also while the next one is being written.
using row = std::vector<std::pair<std::string, std::string>>;
struct condition {
  std::string column;
  std::string value;
};
/// Rows that meet all conditions, ordered by did, collection, rkey. errc::not_found: no such database or view;
/// errc::bad_config: no such column. Booleans may be asked for as "true" and "false".
result<std::vector<row>> query(const std::string& path, const std::string& view, const std::vector<condition>& where,
                               std::size_t limit);

/// Where a view stands, for `wait` and `status`; errors as for query().
result<position> read_position(const std::string& path, const std::string& view);

}  // namespace recordkv::view
