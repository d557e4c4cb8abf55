// SQLite as values: a connection, a prepared statement, a transaction that undoes itself.
//
// Owns: the handles, and the translation of SQLite's result codes into ours, with file, reason and remedy.
// Does not know: views, plans, threads. One thread at a time uses a connection.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/view/plan.hpp"

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace recordkv::view {

/// What a failure means: errc::locked, no_space, or storage for anything else. `extended`: SQLite's extended result
/// code. `system_error`: the errno behind it, where there is one.
errc code_of(int extended, int system_error) noexcept;

class statement {
 public:
  statement() = default;
  explicit statement(sqlite3_stmt* s) : stmt_(s) {}

  // Parameters count from 1. The bytes must stay where they are until the step.
  void bind(int at, std::string_view text);
  void bind(int at, std::int64_t n);
  void bind_null(int at);
  void bind_cell(int at, const cell& c);

  /// SQLITE_ROW, SQLITE_DONE or an error. Unless it is a row, the statement can be bound again.
  int step();
  void reset();

  std::string_view sql() const;

  // Columns count from 0 and are valid until the next step.
  int columns() const;
  std::string_view name(int at) const;
  bool is_null(int at) const;
  std::string_view text(int at) const;
  std::int64_t integer(int at) const;
  double real(int at) const;
  cell value(int at) const;  ///< of its own type; a blob as text

 private:
  struct finalizer {
    void operator()(sqlite3_stmt* s) const noexcept { sqlite3_finalize(s); }
  };
  std::unique_ptr<sqlite3_stmt, finalizer> stmt_;
};

class database {
 public:
  enum class access { read_only, read_write, existing };  ///< existing: read_write, but a missing file is not made
  static result<database> open(const std::string& path, access how, std::chrono::milliseconds patience);

  result<statement> prepare(const std::string& sql);
  result<void> run(const std::string& sql);
  result<void> run(const std::vector<std::string>& statements);

  /// As prepare(), for a user's SQL: it may neither end the transaction nor change recordkv_builds.
  result<statement> prepare_guest(const std::string& sql);

  /// Whether triggers of tables run for this connection's statements; at first they do. A change of this makes SQLite
  /// prepare every statement again when it is run next.
  void set_triggers(bool on);

  /// `committed` is called with `self` at the end of each commit, with the pages of the write-ahead log
  /// (sqlite3_wal_hook). It replaces automatic checkpoints.
  void set_commit_hook(int (*committed)(void* self, sqlite3* db, const char* schema, int pages), void* self) {
    sqlite3_wal_hook(db_.get(), committed, self);
  }

  /// Rows that the last statement changed.
  std::int64_t changes() const { return sqlite3_changes(db_.get()); }

  /// The last failure: "database F: cannot DOING: REASON; REMEDY".
  error failure(std::string_view doing) const;
  std::string_view reason() const;  ///< only SQLite's own message

  /// True: the last failure comes from the statement or its values, and not from the database. Examples are a
  /// constraint, a type, an error that the SQL raises. The transaction is still open, and another statement may
  /// succeed.
  bool statement_failed() const;
  bool busy() const;  ///< the last failure was another program's lock

  /// Writes the write-ahead log into the database and empties it, if readers and writers allow it. It never waits.
  /// Returns how many bytes of the log's committed part are left.
  result<std::uint64_t> empty_wal();

  const std::string& path() const { return path_; }

 private:
  struct closer {
    void operator()(sqlite3* d) const noexcept { sqlite3_close(d); }
  };
  std::unique_ptr<sqlite3, closer> db_;
  std::string path_;
  access how_ = access::read_write;
  bool triggers_ = true;
  std::chrono::milliseconds patience_{0};
};

/// A part of a transaction that can be undone alone. It must be kept or undone before the next statement fails.
class savepoint {
 public:
  static result<savepoint> begin(database& d);
  result<void> keep();
  result<void> undo();

 private:
  explicit savepoint(database& d) : db_(&d) {}
  database* db_;
};

/// Holds the write lock from begin() until commit(). Its destructor undoes everything that was not committed. After
/// read() it sees a single state of the database; it neither waits for other programs nor makes them wait.
class transaction {
 public:
  static result<transaction> begin(database& d);
  static result<transaction> read(database& d);
  result<void> commit();
  ~transaction();
  transaction(transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
  transaction& operator=(transaction&&) = delete;

 private:
  explicit transaction(database& d) : db_(&d) {}
  database* db_;
};

}  // namespace recordkv::view
