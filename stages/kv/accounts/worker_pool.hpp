// Threads for work on values: decoding frames, checking signatures.
//
// Owns: the threads, and how a batch of jobs gets to them and back.
// Does not know: what a job does, NATS, accounts.
#pragma once

#include "recordkv/core/task.hpp"

#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <optional>
#include <vector>

namespace recordkv::stages {

class worker_pool {
 public:
  /// A job touches only data that no other job and no coroutine touches at the same time. It does not throw.
  using job = std::function<void()>;

  /// 0 workers: run() does the jobs itself, one after the other, so that a test is deterministic.
  explicit worker_pool(unsigned workers);
  /// Waits for the jobs under way. The loop from which run() was called must still exist.
  ~worker_pool() { join(); }
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;

  /// Does all jobs, in any order and at the same time. Returns on the caller's loop once the last has ended. A hop to
  /// the pool and back takes about 42 µs: a job should take clearly longer.
  task<> run(std::vector<job> jobs);

  unsigned workers() const noexcept { return workers_; }
  /// Lets no further job begin, and waits for the jobs under way.
  void join();

 private:
  unsigned workers_;
  std::optional<asio::thread_pool> threads_;
};

/// kv.workers as a number of threads. -1: one thread less than there are cores, and at least one.
unsigned worker_count(int configured);

}  // namespace recordkv::stages
