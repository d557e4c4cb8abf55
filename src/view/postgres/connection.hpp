// libpq on the loop: a connection, requests in one round trip, and their answers as values.
//
// Owns: the PGconn, a duplicate of its socket, and the errors of a refusal. Only this file includes libpq.
// Does not know: views, builds and transactions. No blocking function of libpq is called, except for the look-up of a
// host that only libpq knows (a service file, PGHOST).
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

/// The answer to a request.
class reply {
 public:
  explicit reply(PGresult* r) : result_(r) {}

  ExecStatusType status() const { return PQresultStatus(result_.get()); }
  bool refused() const;
  std::string_view state() const;  ///< SQLSTATE of a refusal
  std::string reason() const;      ///< PostgreSQL's message for it, on one line

  int rows() const { return PQntuples(result_.get()); }
  int columns() const { return PQnfields(result_.get()); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) == 1; }
  std::string_view text(int row, int column) const;
  std::uint64_t number(int row, int column) const;  ///< 0: there is none
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
  bool only_parsed = false;  ///< it is not run; the server only checks it
};

/// Fills the next piece of a COPY into the empty string; false: there is no more.
using pieces = std::function<bool(std::string&)>;

class connection {
 public:
  using duration = std::chrono::steady_clock::duration;

  /// What an ordinary round trip may take, without the wait for a lock.
  static constexpr std::chrono::seconds usual{60};

  connection(asio::io_context& io, std::string url, std::chrono::milliseconds patience);
  ~connection();
  connection(const connection&) = delete;

  /// errc::bad_config: libpq cannot read the URL. The text holds no part that may be secret.
  static result<void> check(const std::string& url);

  /// Connects, unless it is connected. A connection that the server has closed is made anew.
  task<result<void>> ready();

  /// All requests in one round trip (pipeline mode), in order. Behind a refused request nothing is run, and its reply
  /// is the last. An error: the connection is lost, and it is unknown how much the server has done.
  task<result<std::vector<reply>>> run(std::vector<request> all, duration limit = usual);

  /// `sql` is COPY … FROM STDIN. Like run(), it belongs to the open transaction.
  task<result<reply>> copy(std::string sql, const pieces& more, duration limit = usual);

  bool connected() const noexcept { return pg_ != nullptr; }

  /// A transaction is open, or has failed and waits for its ROLLBACK.
  bool in_transaction() const { return pg_ != nullptr && PQtransactionStatus(pg_) != PQTRANS_IDLE; }

  /// Closes the connection. The server undoes an open transaction.
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
  bool late_ = false;  // the connection was lost because a deadline passed
  std::uint64_t dials_ = 0;
};

}  // namespace recordkv::view::postgres
