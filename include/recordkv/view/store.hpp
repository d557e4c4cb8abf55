// A view's rows and its position in the store, in one SQLite database, changed in one transaction.
//
// Owns: the tables of views, table `recordkv_position`, the one thread that speaks to SQLite.
// Refuses to know: NATS, and what a change means: it is told which keys changed and how.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/view/plan.hpp"

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
  /// Opens (creates) the database, with WAL. `path`: a file. errc::storage with the path and SQLite's reason.
  static result<std::unique_ptr<store>> open(const std::string& path);
  ~store();  // joins the thread
  store(const store&) = delete;

  /// Creates the plan's table, or, when its hash differs from the stored one, drops rows and position and creates it
  /// anew (`rebuilt` says so). Returns the position to go on from: empty `created` when there is none.
  struct opened {
    position at;
    bool rebuilt = false;
  };
  task<result<opened>> prepare(const plan& p);

  /// Applies changes and moves the position from `previous` to `next`, all in one transaction. errc::conflict, nothing
  /// changed: the stored position is not `previous` (another writer). Rejected records (extract gave no row) have their
  /// older row deleted and are counted in the result.
  struct applied {
    std::uint64_t rows = 0;
    std::uint64_t rejected = 0;
  };
  task<result<applied>> apply(const plan& p, std::vector<change> changes, position previous, position next);

  /// Forgets rows and position of a view, in one transaction.
  task<result<void>> clear(const plan& p);

 private:
  struct impl;
  explicit store(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

/// Read-only look-ups for commands; blocking, for use outside the loop. Columns by name, as text.
using row = std::vector<std::pair<std::string, std::string>>;
struct condition {
  std::string column;
  std::string value;
};
result<std::vector<row>> query(const std::string& path, const std::string& view, const std::vector<condition>& where,
                               std::size_t limit);

}  // namespace recordkv::view
