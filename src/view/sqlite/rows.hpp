// Writes changes into one build's tables in SQLite.
//
// Owns: the prepared statements of a build, and what a change means for its rows, its reject and its hooks.
// Refuses to know: positions, builds, threads. Runs inside a transaction of the caller's.
#pragma once

#include "sql/hook_text.hpp"
#include "sql/naming.hpp"
#include "sql/row_outcomes.hpp"
#include "sqlite/database.hpp"

#include "recordkv/view/store.hpp"

#include <string>
#include <vector>

namespace recordkv::view {

class sqlite_rows {
 public:
  /// `bulk`: rows are appended, as changes of keys that were never there. errc::bad_config: a hook that SQLite refuses.
  static result<sqlite_rows> prepare(database& db, const plan& p, const naming& n, bool bulk);

  /// True when these statements are of this state of the build.
  bool is_of(const naming& n, bool bulk) const { return live_ == n.live && bulk_ == bulk; }

  /// Writes all; of several changes of a key the last.
  result<void> write(database& db, const plan& p, const std::vector<change>& changes, store::applied& count);

  /// Tries a change again whose reject is there with its sequence; `fits`: it is there no longer.
  result<void> retry(database& db, const plan& p, const change& c, bool& fits);

 private:
  struct hook {
    statement run;
    std::vector<hook_parameter> parameters;
  };
  using hooks = std::vector<hook>;

  static result<hooks> prepare_hooks(database& db, const plan& p, std::string_view which,
                                     std::vector<hook_statement>& compiled);
  result<void> append(database& db, const plan& p, const row_outcome& o, store::applied& count);
  result<void> write_one(database& db, const plan& p, row_outcome& o, store::applied& count);
  result<void> settle(database& db, const plan& p, const row_outcome& o, store::applied& count);
  result<void> put_rows(database& db, const plan& p, const row_outcome& o, store::applied& count);
  result<void> trim_rows(database& db, const row_outcome& o, store::applied& count);
  result<void> put_reject(database& db, const change& c, std::string_view reason);
  result<void> run_hooks(database& db, hooks& all, const change& c);
  result<void> look_for_rejects(database& db);

  bool live_ = false;
  bool bulk_ = false;
  bool any_rejects_ = true;    ///< false: the table is empty, and nothing needs to be erased from it
  bool hook_refused_ = false;  ///< the last failure was a hook's, and of this one record
  std::string refusal_;
  statement row_, erase_, trim_, put_reject_, erase_reject_, same_reject_, any_reject_;
  hooks on_put_, on_delete_;
};

}  // namespace recordkv::view
