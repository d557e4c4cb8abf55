// The calls of an SQLite store, each carried to its thread and back.
//
// Owns: that way. Statements and connection belong to the thread. It runs one call after another, in the order in which
// they were awaited. Does not know: what a call does.
#include "sqlite/store.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <type_traits>

namespace recordkv::view {
namespace {

/// Runs `work` on the one thread of `pool`. The caller resumes on its own executor, also if `work` throws.
template <class Work>
task<std::invoke_result_t<Work&>> run_on_thread(asio::thread_pool& pool, Work work) {
  const auto home = co_await asio::this_coro::executor;
  auto there = asio::bind_executor(pool.get_executor(), asio::use_awaitable);
  co_await asio::post(std::move(there));
  std::optional<std::invoke_result_t<Work&>> answer;
  std::exception_ptr thrown;
  try {
    answer.emplace(work());
  } catch (...) {
    thrown = std::current_exception();
  }
  auto back = asio::bind_executor(home, asio::use_awaitable);
  co_await asio::post(std::move(back));
  if (thrown) std::rethrow_exception(thrown);
  co_return std::move(*answer);
}

}  // namespace

task<result<builds>> sqlite_store::look(std::string view) {
  auto work = [&] { return look_now(view); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<build>> sqlite_store::begin(const plan& p, position start, std::uint64_t bulk_until,
                                        std::uint64_t expected_next) {
  auto work = [&] { return begin_now(p, start, bulk_until, expected_next); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<store::applied>> sqlite_store::apply(const plan& p, std::uint64_t number,
                                                 const std::vector<change>& changes, position previous, position next) {
  auto work = [&] { return apply_now(p, number, changes, previous, next); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<void>> sqlite_store::end_bulk(const plan& p, std::uint64_t number) {
  auto work = [&] { return end_bulk_now(p, number); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<bool>> sqlite_store::ready(const plan& p, std::uint64_t number, std::vector<std::string> partitions,
                                       std::vector<std::string> all_partitions) {
  auto work = [&] { return ready_now(p, number, partitions, all_partitions); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<void>> sqlite_store::abandon(std::string view, std::uint64_t number) {
  auto work = [&] { return abandon_now(view, number); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<void>> sqlite_store::want_rebuild(std::string view) {
  auto work = [&] { return want_rebuild_now(view); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<std::vector<store::reject>>> sqlite_store::rejects(std::string view, std::size_t limit) {
  auto work = [&] { return rejects_now(view, limit); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<std::uint64_t>> sqlite_store::retry(const plan& p, std::vector<change> changes) {
  auto work = [&] { return retry_now(p, changes); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<std::vector<std::string>>> sqlite_store::views() {
  auto work = [&] { return views_now(); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<upkeep>> sqlite_store::look_after() {
  auto work = [&] { return watch_.look(db_, wal_watch::clock::now()); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

task<result<void>> sqlite_store::drop(std::string view) {
  auto work = [&] { return drop_now(view); };
  co_return co_await run_on_thread(thread_, std::move(work));
}

}  // namespace recordkv::view
