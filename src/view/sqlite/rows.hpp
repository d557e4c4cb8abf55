// Writes changes into one build's tables in SQLite.
//
// Owns: the prepared statements of a build, and how rows, rejects and hooks of a key are written with them.
// Does not know: positions, builds, threads. Runs inside the caller's transaction.
#pragma once

#include "sql/hook_text.hpp"
#include "sql/naming.hpp"
#include "sql/row_outcomes.hpp"
#include "sqlite/database.hpp"
#include "sqlite/own_counts.hpp"

#include "recordkv/view/store.hpp"

#include <string>
#include <vector>

namespace recordkv::view {

class sqlite_rows {
 public:
  /// `bulk`: rows are appended, because no key has rows yet. errc::bad_config: SQLite refuses a hook.
  static result<sqlite_rows> prepare(database& db, const plan& p, const naming& n, bool bulk);

  /// True: these statements fit this state of the build.
  bool is_of(const naming& n, bool bulk) const { return live_ == n.live && bulk_ == bulk; }

  /// Writes all changes; of several changes of a key only the last.
  result<void> write(database& db, const plan& p, const std::vector<change>& changes, store::applied& count);

  /// Tries a change again if its reject is there with its sequence. `fits`: the reject is gone.
  result<void> retry(database& db, const plan& p, const change& c, bool& fits);

 private:
  struct hook {
    statement run;
    std::vector<hook_parameter> parameters;
  };
  using hooks = std::vector<hook>;

  static result<hooks> prepare_hooks(database& db, const plan& p, std::string_view which,
                                     std::vector<hook_statement>& compiled);
  result<void> choose_who_counts(database& db, const plan& p);
  result<void> append(database& db, const plan& p, const row_outcome& o, store::applied& count);
  result<void> write_one(database& db, const plan& p, row_outcome& o, store::applied& count);
  result<void> settle(database& db, const plan& p, const row_outcome& o, store::applied& count);
  result<void> put_rows(database& db, const plan& p, const row_outcome& o, store::applied& count);
  result<void> put_row(database& db, const plan& p, const change& c, std::size_t idx);
  result<void> trim_rows(database& db, const plan& p, const row_outcome& o, store::applied& count);
  result<void> put_reject(database& db, const change& c, std::string_view reason);
  result<void> run_hooks(database& db, hooks& all, const change& c);
  result<void> look_for_rejects(database& db);

  bool live_ = false;
  bool bulk_ = false;
  bool any_rejects_ = true;     ///< false: the table is empty, and nothing needs to be erased
  bool hook_refused_ = false;   ///< the last failure was a hook's, and this record's fault
  bool counts_itself_ = false;  ///< in this transaction: counts_, not the triggers
  std::string refusal_;
  statement row_, new_row_, erase_, trim_, put_reject_, erase_reject_, same_reject_, any_reject_, foreign_trigger_;
  own_counts counts_;
  hooks on_put_, on_delete_;
};

}  // namespace recordkv::view
