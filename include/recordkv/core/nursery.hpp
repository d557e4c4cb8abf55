// Coroutines that must end before their owner does.
//
// Owns: the number of children and their first failure.
// Does not know: how a child learns that it must stop. The owner closes what the child waits for, then joins.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <optional>

namespace recordkv {

class nursery {
 public:
  explicit nursery(asio::any_io_executor ex) : executor_(std::move(ex)) {}
  nursery(const nursery&) = delete;
  nursery& operator=(const nursery&) = delete;

  /// Starts a child. An exception that leaves it is a bug, and ends the program through the loop.
  void spawn(task<> child);
  /// The same for a child that can fail: the first error is kept for failure().
  void spawn(task<result<void>> child);

  /// Suspends until every child has returned.
  task<> join();

  const std::optional<error>& failure() const noexcept { return failure_; }
  bool empty() const noexcept { return running_ == 0; }

 private:
  void ended(std::exception_ptr e);

  asio::any_io_executor executor_;
  std::size_t running_ = 0;
  event ended_;
  std::optional<error> failure_;
};

}  // namespace recordkv
