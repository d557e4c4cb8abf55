#include "worker_pool.hpp"

#include "recordkv/core/event.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

namespace recordkv::stages {

worker_pool::worker_pool(unsigned workers) : workers_(workers) {
  if (workers > 0) threads_.emplace(workers);
}

void worker_pool::join() {
  if (!threads_) return;
  threads_->stop();
  threads_->join();
}

task<> worker_pool::run(std::vector<job> jobs) {
  if (!threads_) {
    for (const auto& j : jobs) j();
    co_return;
  }
  struct open_jobs {
    std::size_t left;
    event ended;
  };
  const auto open = std::make_shared<open_jobs>();  // a worker may still hold it when this coroutine is destroyed
  open->left = jobs.size();
  const auto loop = co_await asio::this_coro::executor;
  for (auto& j : jobs) {
    asio::post(*threads_, [work = std::move(j), loop, open] {
      work();
      asio::post(loop, [open] {
        if (--open->left == 0) open->ended.notify();
      });
    });
  }
  while (open->left > 0) co_await open->ended.wait();
}

unsigned worker_count(int configured) {
  if (configured >= 0) return static_cast<unsigned>(configured);
  return std::max(2U, std::thread::hardware_concurrency()) - 1;
}

}  // namespace recordkv::stages
