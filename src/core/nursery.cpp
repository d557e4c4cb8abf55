#include "recordkv/core/nursery.hpp"

#include <boost/asio/co_spawn.hpp>

#include <exception>

namespace recordkv {

void nursery::ended(std::exception_ptr e) {
  --running_;
  ended_.notify();
  if (e) std::rethrow_exception(e);
}

void nursery::spawn(task<> child) {
  ++running_;
  asio::co_spawn(executor_, std::move(child), [this](std::exception_ptr e) { ended(e); });
}

void nursery::spawn(task<result<void>> child) {
  ++running_;
  asio::co_spawn(executor_, std::move(child), [this](std::exception_ptr e, result<void> r) {
    if (!e && r.has_error() && r.error().code != errc::closed && !failure_) failure_ = r.error();
    ended(e);
  });
}

task<> nursery::join() {
  while (running_ > 0) co_await ended_.wait();
}

}  // namespace recordkv
