// One connection to a database of views, used by one call at a time.
//
// Owns: how each of our transactions begins, the table of builds being there, the end of a transaction that a call has
// left open. Refuses to know: what a call does, and which call comes next (pool.hpp).
#pragma once

#include "postgres/connection.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view::postgres {

/// BEGIN, and how the server shall treat this transaction. Nothing is set for longer than a transaction: behind a
/// pooler in transaction mode the next one on this session is another program's.
std::vector<request> opening(std::chrono::milliseconds patience);
/// The same for a transaction that only reads.
std::vector<request> opening_to_read(std::chrono::milliseconds patience);

class session {
 public:
  session(asio::io_context& io, const std::string& url, std::chrono::milliseconds patience)
      : db(io, url, patience), patience(patience) {}

  /// Connects unless it is connected, and sees to the table of builds. After an error `db.connected()` tells whether
  /// the server refused the connection or the table.
  task<result<void>> ready();

  /// Undoes a transaction that is still open.
  task<void> leave();

  /// As connection::run(); a refusal is an error, in words: "cannot DOING".
  task<result<std::vector<reply>>> run(std::string_view doing, std::vector<request> all,
                                       connection::duration limit = connection::usual);

  connection db;
  const std::chrono::milliseconds patience;

 private:
  std::uint64_t known_dial_ = 0;  // the table of builds was seen on this connection
};

}  // namespace recordkv::view::postgres
