// SQLite as values: a connection, a prepared statement, a transaction that undoes itself.
//
// Owns: the handles, and the translation of SQLite's result codes into ours, with file, reason and remedy.
// Refuses to know: views, plans, threads. One thread at a time uses a connection.
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

  /// SQLITE_ROW, SQLITE_DONE or an error. After anything but a row the statement is ready to be bound anew.
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

 private:
  struct finalizer {
    void operator()(sqlite3_stmt* s) const noexcept { sqlite3_finalize(s); }
  };
  std::unique_ptr<sqlite3_stmt, finalizer> stmt_;
};

class database {
 public:
  enum class access { read_only, read_write };
  static result<database> open(const std::string& path, access how, std::chrono::milliseconds patience);

  result<statement> prepare(const std::string& sql);
  result<void> run(const std::string& sql);
  result<void> run(const std::vector<std::string>& statements);

  /// As prepare(), for SQL that somebody else wrote: it may neither end our transaction nor touch recordkv_builds.
  result<statement> prepare_guest(const std::string& sql);

  /// Rows that the last statement changed.
  std::int64_t changes() const { return sqlite3_changes(db_.get()); }

  /// The last failure in words: "database F: cannot DOING: REASON; REMEDY".
  error failure(std::string_view doing) const;
  std::string_view reason() const;  ///< no more than SQLite's own words

  /// True when the last failure lies in what the statement says or was given, and not in the database: a constraint, a
  /// type, an error that the SQL itself raises. The transaction stands, and another statement may succeed.
  bool statement_failed() const;
  bool busy() const;  ///< the last failure was somebody else's lock

  /// Writes the write-ahead log into the database and cuts it to nothing, as far as readers and writers allow. Waits
  /// for nobody. Returns the bytes of the log's committed part that could not go.
  result<std::uint64_t> empty_wal();

  const std::string& path() const { return path_; }

 private:
  struct closer {
    void operator()(sqlite3* d) const noexcept { sqlite3_close(d); }
  };
  std::unique_ptr<sqlite3, closer> db_;
  std::string path_;
  access how_ = access::read_write;
  std::chrono::milliseconds patience_{0};
};

/// A part of a transaction that can be taken back alone. It must be kept or undone before the next statement fails.
class savepoint {
 public:
  static result<savepoint> begin(database& d);
  result<void> keep();
  result<void> undo();

 private:
  explicit savepoint(database& d) : db_(&d) {}
  database* db_;
};

/// Holds the write lock from begin() until commit(), or until it dies, which undoes everything. One begun with read()
/// sees a single state of the database, waits for nobody and holds nobody up.
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
