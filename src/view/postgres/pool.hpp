// The connections of a process to a database of views, and the order in which calls get them.
//
// Owns: how many connections there are, when they are opened and closed, the order of a view's calls, and the suspects:
// COMMITs that were never answered. Does not know: what a call does.
//
// One connection is enough for all views of a process. More, at most eight, are opened only while calls wait. They are
// closed if unused for some seconds, and after a while also if used: another process may wait for a slot of the server.
// A server without free slots therefore serves all processes in turn.
#pragma once

#include "postgres/session.hpp"

#include "recordkv/view/position.hpp"

#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace recordkv::view::postgres {

/// Admits one coroutine at a time, in the order of arrival.
class async_mutex {
 public:
  class pass {
   public:
    explicit pass(async_mutex& t) : of_(&t) {}
    pass(pass&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    pass& operator=(pass&&) = delete;
    ~pass();

   private:
    async_mutex* of_;
  };
  task<pass> enter();

 private:
  std::uint64_t next_ = 0, serving_ = 0;
  event moved_;
};

/// A batch of apply() whose COMMIT was not answered. The server may have done it, or not.
struct suspect {
  std::uint64_t number;
  position previous, next;
  bool operator==(const suspect&) const = default;
};
using suspects = std::map<std::uint64_t, suspect>;  ///< by build: each caller resolves its own

class pool : public std::enable_shared_from_this<pool> {
 public:
  using clock = std::chrono::steady_clock;

  static constexpr std::size_t max_connections = 8;
  static constexpr std::chrono::milliseconds grows_after{50};   ///< a call has waited this long for a connection
  static constexpr std::chrono::seconds max_idle{3};            ///< of a connection beyond the first
  static constexpr std::chrono::seconds max_age{20};            ///< the same, also if it is used
  static constexpr std::chrono::milliseconds yields_for{2500};  ///< none is opened after one was closed for its age
  static constexpr std::chrono::seconds asks_again_after{5};    ///< none is opened after a refusal
  static constexpr std::chrono::seconds max_wait{10};           ///< of a call for a connection; then it fails
  static constexpr std::chrono::minutes tells_every{1};

  pool(asio::io_context& io, std::string url, std::chrono::milliseconds patience);

  /// Runs `work(session&)` on a connection. Calls of one view run one after another, in the order in which they came.
  template <class Work>
  auto call(std::string view, const Work& work) -> std::invoke_result_t<const Work&, session&> {
    const auto alive = shared_from_this();
    const auto turn = co_await turns_[view].enter();
    auto mine = co_await take(view);
    if (!mine) co_return mine.error();
    auto done = co_await work(mine->get());
    co_await mine->get().leave();
    co_return done;
  }

  suspects unanswered;

 private:
  struct slot {
    explicit slot(asio::io_context& io, const std::string& url, std::chrono::milliseconds patience)
        : on(io, url, patience) {}
    session on;
    bool busy = true;
    clock::time_point made = clock::now(), used = made;
  };
  /// A connection in use. It goes back to the pool with this object.
  class loan {
   public:
    loan(pool& from, slot& what) : from_(&from), what_(&what) {}
    loan(loan&& other) noexcept : from_(std::exchange(other.from_, nullptr)), what_(other.what_) {}
    loan& operator=(loan&&) = delete;
    ~loan() {
      if (from_ != nullptr) from_->give_back(*what_);
    }
    session& get() const { return what_->on; }

   private:
    pool* from_;
    slot* what_;
  };

  task<result<loan>> take(const std::string& view);
  task<result<loan>> wait_for_one(std::uint64_t place);
  task<result<void>> connect(slot& s);
  void refuse(error why);
  slot* idle_one();
  slot* new_one(clock::time_point waits_since);
  void give_back(slot& s) noexcept;
  void remove(const slot& s) noexcept;
  void close_idle_later();
  void close_idle();
  error none_free() const;
  error refusal() const;

  asio::io_context& io_;
  std::string url_, shown_;
  std::chrono::milliseconds patience_;
  std::map<std::string, async_mutex> turns_;     // by view
  std::map<std::string, std::uint64_t> places_;  // by view that waits for a connection, until it gets one
  std::set<std::uint64_t> waiting_;              // places whose calls wait now; the lowest is served first
  std::uint64_t next_place_ = 0;
  std::vector<std::unique_ptr<slot>> slots_;   // in the order of their last use
  std::optional<error> refused_;               // the last refusal of a connection
  clock::time_point refused_at_, grows_from_;  // when that was; when another may be opened
  std::optional<clock::time_point> told_at_;   // when it was last logged
  int connecting_ = 0;
  asio::steady_timer closer_;
  bool closer_runs_ = false;
  event moved_;
};

}  // namespace recordkv::view::postgres
