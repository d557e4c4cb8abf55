// A connection to a database of views, used by one call at a time.
//
// Owns: the beginning of each transaction, that the table of builds exists, and the end of a transaction that a call
// has left open. Does not know: what a call does, and which call comes next (pool.hpp).
#pragma once

#include "postgres/connection.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view::postgres {

/// BEGIN, and the settings of this transaction. Nothing is set for longer: behind a pooler in transaction mode the next
/// transaction of the session may be another program's.
std::vector<request> opening(std::chrono::milliseconds patience);
/// The same for a transaction that only reads.
std::vector<request> opening_to_read(std::chrono::milliseconds patience);

class session {
 public:
  session(asio::io_context& io, const std::string& url, std::chrono::milliseconds patience)
      : db(io, url, patience), patience(patience) {}

  /// Connects, unless it is connected, and makes the table of builds if it is missing. After an error, db.connected()
  /// is true if the server refused the table, and false if there is no connection.
  task<result<void>> ready();

  /// Rolls back a transaction that is still open.
  task<void> leave();

  /// As connection::run(). A refusal is an error: "cannot DOING: …".
  task<result<std::vector<reply>>> run(std::string_view doing, std::vector<request> all,
                                       connection::duration limit = connection::usual);

  connection db;
  const std::chrono::milliseconds patience;

 private:
  std::uint64_t known_dial_ = 0;  // the table of builds was seen on this connection
};

}  // namespace recordkv::view::postgres
