// The counters of one build while this process writes its rows: added up over a transaction, and written once for each
// value.
//
// Owns: by how much the count of each value has moved, and the statements that say so in the end. Triggers keep the
// counters for every other writer (sql/counters.cpp), row by row, which takes as long as two indexes do. So they are
// off meanwhile (database::set_triggers). Does not know: how rows are written.
#pragma once

#include "sql/naming.hpp"
#include "sqlite/database.hpp"

#include "recordkv/view/store.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace recordkv::view {

class own_counts {
 public:
  static result<own_counts> prepare(database& db, const plan& p, const naming& n);

  /// False: the build has no counters.
  bool any() const noexcept { return !counters_.empty(); }

  /// Row `idx` of this change is written. Its cells must stay where they are until write().
  void add(const plan& p, const change& c, std::size_t idx);

  /// All rows of this change's key are about to go, or to be overwritten.
  result<void> take_away(database& db, const plan& p, const change& c);

  /// Moves the counts. A count that reaches 0 is removed.
  result<void> write(database& db);

  /// Forgets what was added since the last write(), because the transaction was undone.
  void forget();

 private:
  struct moved {
    const cell* value;
    std::int64_t by;
  };
  struct counter {
    std::size_t column = 0;  // of table_columns()
    statement move, erase;
    std::vector<moved> moves;
  };

  void move(counter& c, const cell& value, std::int64_t by);
  void move_copy(counter& c, cell value, std::int64_t by) { move(c, copies_.emplace_back(std::move(value)), by); }
  static result<void> write(database& db, counter& c);

  std::vector<counter> counters_;
  statement values_of_key_;
  std::deque<cell> copies_;  // those that no change holds
};

}  // namespace recordkv::view
