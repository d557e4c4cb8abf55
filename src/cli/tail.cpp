// `tail`: the store as lines of JSON on standard output, for a program in any language.
//
// Owns: when a line counts as done, what ends the command, back-pressure.
// Does not know: how a record is written (record_line.cpp), where reading goes on (indexer.hpp).
//
// Memory is bounded twice: at most one buffer is being written, and at most `max_open` lines wait to be acknowledged.
#include "commands.hpp"
#include "line_pipe.hpp"
#include "record_line.hpp"
#include "stores_there.hpp"

#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"

#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <csignal>
#include <deque>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
constexpr std::size_t max_open = 10'000, buffer_size = 65'536;
constexpr auto reader_limit = 2s;  // to take the line that was being written

class tail_run {
 public:
  tail_run(const stage_context& ctx, const tail_options& what)
      : what_(what),
        feed_(ctx, {.durable = what.durable,
                    .collections = what.collections,
                    .did = what.did,
                    .partitions = what.partitions,
                    .only_new = what.only_new,
                    .after = {}}),
        out_(ctx.nc.io(), STDOUT_FILENO),
        acks_(ctx.nc.io(), STDIN_FILENO),
        signals_(ctx.nc.io(), SIGINT, SIGTERM),
        deadline_(ctx.nc.io()) {
    if (!hangup_is_ignored()) signals_.add(SIGHUP);
  }

  task<result<void>> run() {
    nursery children(co_await asio::this_coro::executor);
    children.spawn(await_signal());
    auto done = co_await feed_.open();
    if (done) {
      if (out_.has_reader()) children.spawn(watch_reader());
      if (what_.by_line) children.spawn(read_acks());
      done = co_await print();
      if (done && !stopped_) done = co_await await_last_acks();
    }
    stop();
    co_await feed_.finish();
    signals_.cancel();
    deadline_.cancel();
    co_await children.join();
    if (!done && done.error().code != errc::closed) co_return done;
    co_return last_error_ ? result<void>(*last_error_) : result<void>{};
  }

 private:
  task<result<void>> print() {
    while (!stopped_ && !enough()) {
      auto batch = co_await feed_.next();
      if (!batch) co_return batch.error();
      std::string buffer;
      std::vector<std::uint64_t> lines;
      for (const auto& r : *batch) {
        if (enough()) break;
        append_line(buffer, r);
        lines.push_back(r.seq);
        ++printed_;
        if (buffer.size() < buffer_size && lines.size() < max_open / 4) continue;
        if (auto written = co_await hand_over(buffer, lines); !written) co_return written;
      }
      if (auto written = co_await hand_over(buffer, lines); !written) co_return written;
    }
    co_return result<void>{};
  }

  bool enough() const { return what_.lines > 0 && printed_ >= what_.lines; }

  // Writes the lines. Only a line that was handed over counts as done, or waits to be acknowledged.
  task<result<void>> hand_over(std::string& buffer, std::vector<std::uint64_t>& lines) {
    if (lines.empty()) co_return result<void>{};
    while (what_.by_line && open_.size() + lines.size() > max_open && !stopped_) co_await acknowledged_.wait();
    if (stopped_) co_return fail(errc::closed, "stopped");
    if (what_.by_line)
      open_.insert(open_.end(), lines.begin(), lines.end());  // an acknowledgement may come before write() returns
    auto written = co_await out_.write(buffer);
    if (!written) co_return written;
    if (!what_.by_line) feed_.settle(lines.back());
    buffer.clear();
    lines.clear();
    co_return result<void>{};
  }

  task<> read_acks() {
    while (!stopped_) {
      const auto lines = co_await acks_.next();
      if (lines == 0) break;  // no program is left that could acknowledge
      if (lines > open_.size()) {
        last_error_ =
            fail(errc::bad_config,
                 "standard input acknowledges {} lines, but only {} wait for it; write one line for each line read",
                 lines, open_.size());
        break;
      }
      const auto last = open_[lines - 1];
      open_.erase(open_.begin(), open_.begin() + static_cast<std::ptrdiff_t>(lines));
      feed_.settle(last);
      acknowledged_.notify();
    }
    stop();
  }

  task<result<void>> await_last_acks() {
    while (what_.by_line && !open_.empty() && !stopped_) co_await acknowledged_.wait();
    co_return result<void>{};
  }

  task<> watch_reader() {
    co_await out_.reader_gone();
    if (!stopped_) stop();
  }

  task<> await_signal() {
    auto [ec, signal] = co_await signals_.async_wait(use_task);
    if (ec) co_return;
    stopped_ = true;
    feed_.close();
    acknowledged_.notify();
    deadline_.expires_after(reader_limit);
    auto [cancelled] = co_await deadline_.async_wait(use_task);
    if (!cancelled) stop();
  }

  void stop() noexcept {
    stopped_ = true;
    feed_.close();
    out_.close();
    acks_.close();
    acknowledged_.notify();
  }

  const tail_options& what_;
  record_feed feed_;
  line_output out_;
  line_input acks_;
  asio::signal_set signals_;
  asio::steady_timer deadline_;
  std::deque<std::uint64_t> open_;  // lines that wait to be acknowledged, by their stream sequence
  std::uint64_t printed_ = 0;
  std::optional<error> last_error_;
  event acknowledged_;
  bool stopped_ = false;
};

task<int> print_store(session s, const tail_options& what) {
  if (auto there = co_await store_is_there(s); !there) co_return complain(there.error());
  meters counters;
  const stage_context ctx{s.nc, s.cfg, counters, s.facts, nullptr};
  tail_run run(ctx, what);
  auto done = co_await run.run();
  co_return done ? cli::done : complain(done.error());
}

}  // namespace

int tail(const invocation& i, const config& cfg) {
  if (i.tail.by_line && i.tail.durable.empty())
    return complain(
        fail(errc::bad_config, "--ack stdin needs --durable NAME: without a durable the position is not kept"));
  return with_nats(cfg, [&](session s) { return print_store(s, i.tail); });
}

}  // namespace recordkv::cli
