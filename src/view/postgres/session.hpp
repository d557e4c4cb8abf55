// One connection to a database of views, used by one call at a time.
//
// Owns: the order of the calls, the table of builds being there, the end of a transaction that a call has left open,
// and the doubt about a COMMIT that was never answered. Refuses to know: what a call does.
#pragma once

#include "postgres/connection.hpp"

#include "recordkv/view/position.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view::postgres {

/// Lets one in at a time, in the order in which they came.
class turnstile {
 public:
  class pass {
   public:
    explicit pass(turnstile& t) : of_(&t) {}
    pass(pass&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    pass& operator=(pass&&) = delete;
    ~pass();

   private:
    turnstile* of_;
  };
  task<pass> enter();

 private:
  std::uint64_t next_ = 0, serving_ = 0;
  event moved_;
};

class session {
 public:
  session(asio::io_context& io, const std::string& url, std::chrono::milliseconds patience)
      : db(io, url, patience), patience(patience) {}

  /// What apply() asked for when its COMMIT was lost on the way. It may have been done, or not.
  struct doubt {
    std::uint64_t number;
    position previous, next;
    bool operator==(const doubt&) const = default;
  };

  /// Runs `work`, which uses this session, once its turn has come and there is a connection; ends what it leaves open.
  template <class T>
  task<result<T>> call(task<result<T>> work) {
    const auto pass = co_await order.enter();
    if (auto up = co_await ready(); !up) co_return up.error();
    auto done = co_await std::move(work);
    co_await leave();
    co_return done;
  }

  /// As connection::run(); a refusal is an error, in words: "cannot DOING".
  task<result<std::vector<reply>>> run(std::string_view doing, std::vector<request> all,
                                       connection::duration limit = connection::usual);

  connection db;
  const std::chrono::milliseconds patience;
  turnstile order;
  std::map<std::uint64_t, doubt> unanswered;  ///< by build: each asker resolves his own

 private:
  task<result<void>> ready();
  task<void> leave();

  std::uint64_t known_dial_ = 0;  // the table of builds was seen on this connection
};

}  // namespace recordkv::view::postgres
