// libpq on the loop: a connection, what is sent through it in one round trip, what comes back as values.
//
// Owns: the PGconn, a duplicate of its socket, the words for what PostgreSQL refuses. libpq is included here only.
// Refuses to know: views, builds, transactions: what the requests mean. No function of libpq that blocks is called, but
// for the look-up of a host that only libpq knows of (a service file, PGHOST).
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <libpq-fe.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view::postgres {

/// What came back for one request.
class reply {
 public:
  explicit reply(PGresult* r) : result_(r) {}

  ExecStatusType status() const { return PQresultStatus(result_.get()); }
  bool refused() const;
  std::string_view state() const;  ///< SQLSTATE of a refusal
  std::string reason() const;      ///< PostgreSQL's words for it, on one line

  int rows() const { return PQntuples(result_.get()); }
  int columns() const { return PQnfields(result_.get()); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) == 1; }
  std::string_view text(int row, int column) const;
  std::uint64_t number(int row, int column) const;  ///< 0 where there is none
  std::uint64_t affected() const;                   ///< rows that it wrote or deleted

 private:
  struct clearer {
    void operator()(PGresult* r) const noexcept { PQclear(r); }
  };
  std::unique_ptr<PGresult, clearer> result_;
};

using value = std::optional<std::string>;  ///< a parameter as text; nullopt is NULL

struct request {
  std::string sql;  ///< one statement, its parameters $1, $2 …
  std::vector<value> parameters;
  bool only_parsed = false;  ///< it is not run: would the server understand it?
};

/// Fills the next piece of a COPY into the string, which is empty; false: there was no more.
using pieces = std::function<bool(std::string&)>;

class connection {
 public:
  using duration = std::chrono::steady_clock::duration;

  /// Beyond the time that it may wait for a lock, what an ordinary round trip may take.
  static constexpr std::chrono::seconds usual{60};

  connection(asio::io_context& io, std::string url, std::chrono::milliseconds patience);
  ~connection();
  connection(const connection&) = delete;

  /// Is it a URL that libpq can read? errc::bad_config without any part of it that may be secret.
  static result<void> check(const std::string& url);

  /// Connects unless it is connected. A connection that the server has left meanwhile is made anew.
  task<result<void>> ready();

  /// All requests in one round trip (pipeline mode), in order. What follows a refused one is not run: replies up to and
  /// including that. An error: there is no connection any more, and nobody knows how far the server came.
  task<result<std::vector<reply>>> run(std::vector<request> all, duration limit = usual);

  /// `sql` is COPY … FROM STDIN. Stands inside a transaction, as run() does.
  task<result<reply>> copy(std::string sql, const pieces& more, duration limit = usual);

  bool connected() const noexcept { return pg_ != nullptr; }

  /// An open transaction, or one that has failed and waits for its ROLLBACK.
  bool in_transaction() const { return pg_ != nullptr && PQtransactionStatus(pg_) != PQTRANS_IDLE; }

  /// Forgets the connection; the server undoes an open transaction.
  void drop() noexcept;

  error failure(std::string_view doing, const reply& r) const;

  /// How often it has connected, for tests and logs.
  std::uint64_t dials() const noexcept { return dials_; }

 private:
  struct wire;
  using deadline = std::chrono::steady_clock::time_point;

  task<result<void>> dial(deadline until);
  result<void> settle();
  bool attach();
  void arm(bool write);
  task<bool> turn(deadline until, bool only_send = false);
  task<result<reply>> last_reply(deadline until);
  error lost(std::string_view doing);

  asio::io_context& io_;
  std::string url_, shown_;
  std::chrono::milliseconds patience_;
  PGconn* pg_ = nullptr;
  std::shared_ptr<wire> wire_;
  bool late_ = false;  // the last loss was a deadline that passed
  std::uint64_t dials_ = 0;
};

}  // namespace recordkv::view::postgres
