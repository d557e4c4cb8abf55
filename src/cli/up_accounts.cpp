#include "up_accounts.hpp"

#include "account_names.hpp"
#include "account_text.hpp"
#include "account_yield.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/lease.hpp"
#include "stores_there.hpp"
#include "wish_making.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <memory>

namespace recordkv::cli {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr auto between_polls = 250ms;
constexpr auto without_answer = 1s;
constexpr auto max_pause = 5min;  // between two look-ups of a handle
// A process that starts beside a killed one takes its lease over after one period.
constexpr auto grace = 2 * kv::lease::period;

// A look-up may take longer than an orderly end. It is then left behind, and goes with the loop.
struct handle_look_up {
  handle_look_up(asio::any_io_executor loop, const config& cfg) : network(std::move(loop), cfg) {}
  network_names network;
  std::optional<result<std::string>> found;
};

task<> look_up(std::shared_ptr<handle_look_up> it, std::string handle) {
  auto found = co_await it->network.did_of(std::move(handle));
  it->found.emplace(std::move(found));
}

class following {
 public:
  following(session s, interruption& stop) : s_(s), stop_(stop), running_(s.nc.io().get_executor()) {}

  task<> run(std::vector<std::string> names) {
    total_ = names.size();
    if (!co_await store_stands()) co_return;
    partitions_ = co_await store_partitions(s_);
    for (auto& name : names) running_.spawn(follow(std::move(name)));
    while (!running_.empty() && !stop_.happened()) {
      show();
      co_await stop_.pause(between_polls);
    }
    bar_.reset();
    co_await running_.join();
  }

 private:
  task<bool> store_stands() {
    while (!stop_.happened()) {
      auto there = co_await can_take_wishes(s_);
      if (there) co_return true;
      co_await stop_.pause(between_polls);
    }
    co_return false;
  }

  task<> follow(std::string name) {
    auto account = co_await find(name);
    if (!account) co_return;
    std::optional<made_wish> wish;
    while (!wish && !stop_.happened()) {
      auto made = co_await make_wish(s_, *account, kv::wish_kind::add, partitions_);
      if (made)
        wish.emplace(std::move(*made));
      else
        co_await say_and_pause(name, made.error().text, without_answer);
    }
    if (!wish) co_return;
    waiting_[name] = wish->who() + ": waits for stage kv";
    co_await await_end(name, std::move(*wish));
    waiting_.erase(name);
  }

  // nullopt: `stop_` has happened.
  task<std::optional<named_account>> find(std::string name) {
    if (atproto::is_did(name)) co_return named_account{.did = std::move(name), .handle = {}};
    auto pause = std::min<steady_clock::duration>(s_.cfg.repos.retry, max_pause);
    for (; !stop_.happened(); pause = std::min<steady_clock::duration>(2 * pause, max_pause)) {
      waiting_[name] = name + ": its DID is looked up";
      auto did = co_await did_of(name);
      if (did) co_return named_account{.did = std::move(*did), .handle = name};
      if (stop_.happened()) break;
      waiting_.erase(name);
      co_await say_and_pause(name, did.error().text, pause);
    }
    co_return std::nullopt;
  }

  task<result<std::string>> did_of(std::string handle) {
    auto known = co_await known_account(s_, handle);
    if (!known) co_return known.error();
    if (*known) co_return std::move(**known);
    auto executor = co_await asio::this_coro::executor;
    auto it = std::make_shared<handle_look_up>(executor, s_.cfg);
    asio::co_spawn(executor, look_up(it, std::move(handle)), asio::detached);
    while (!it->found && !stop_.happened()) co_await stop_.pause(between_polls / 5);
    if (!it->found) co_return fail(errc::closed, "stopped");
    co_return std::move(*it->found);
  }

  task<> await_end(const std::string& name, made_wish wish) {
    while (!stop_.happened()) {
      auto facts = co_await read_wish_facts(s_, wish, partitions_);
      if (!facts) {
        co_await stop_.pause(without_answer);
        continue;
      }
      const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
      const auto verdict = judge(wish, *facts, now);
      if (verdict.is == wish_verdict::word::fulfilled) {
        const bool told = co_await tell(wish, facts->state->collections);
        if (told || stop_.happened()) co_return;
      } else if (verdict.is == wish_verdict::word::failed) {
        waiting_.erase(name);
        say(wish.who(), verdict.text);
        if (verdict.next_try == 0) co_return;
        wish.before = std::move(*facts->state);  // the next try is another one
      } else if (const auto at = waiting_.find(name); at != waiting_.end()) {
        at->second = fmt::format("{}: {}", wish.who(), verdict.text);
        co_await say_if_not_taken(wish, *facts);
      }
      co_await stop_.pause(between_polls);
    }
  }

  // False: NATS has not answered.
  task<bool> tell(const made_wish& wish, std::vector<std::string> collections) {
    const auto since = steady_clock::now() - began_;
    auto yield = co_await yield_of(s_, wish.what.did, partitions_, std::move(collections), stop_);
    if (!yield && unanswered(yield.error())) co_await stop_.pause(without_answer);
    if (!yield && !stop_.happened() && !unanswered(yield.error())) say(wish.who(), yield.error().text);
    if (!yield) co_return !unanswered(yield.error());
    bar_.reset();
    write_out("{}: in the store after {:.1f} s: {}\n", wish.who(), std::chrono::duration<double>(since).count(),
              records_text(*yield));
    if (const auto rows = rows_text(*yield); !rows.empty())
      write_out("rows of it in views after {:.1f} s: {}\n",
                std::chrono::duration<double>(steady_clock::now() - began_).count(), rows);
    if (yield->records == 0)
      write_out("it has no records in the collections of source.collections\n");
    else
      write_out("try: {}\n", command_to_try(*yield, wish.what.did));
    flush_output();
    co_return true;
  }

  task<> say_if_not_taken(const made_wish& wish, const wish_facts& facts) {
    if (not_taken_told_ || facts.wish != wish_facts::key::pending || steady_clock::now() - began_ < grace) co_return;
    auto rows = co_await read_locks(s_.nc, s_.names());
    if (!rows || is_taken(*rows, wish.partition, partitions_)) co_return;
    not_taken_told_ = true;
    std::vector<std::string> partition{wish.partition};
    say(wish.who(), not_taken_text(partition));
  }

  task<> say_and_pause(const std::string& who, const std::string& why, steady_clock::duration pause) {
    auto& last = said_[who];
    const auto text = fmt::format("{}. It is tried again", why);
    if (last != text) say(who, text);
    last = text;
    co_await stop_.pause(pause);
  }

  void say(const std::string& who, std::string_view text) {
    bar_.reset();
    write_error("recordkv: {}: {}\n", who, on_one_line(text));
  }

  void show() {
    if (waiting_.empty()) {
      bar_.reset();
      return;
    }
    if (!bar_) bar_.emplace("accounts");
    const auto seconds = std::chrono::duration<double>(steady_clock::now() - began_).count();
    bar_->show(double(total_ - waiting_.size()) / double(total_),
               fmt::format("{}, {:.0f} s", waiting_.begin()->second, seconds));
  }

  session s_;
  interruption& stop_;
  nursery running_;
  unsigned partitions_ = 0;
  std::size_t total_ = 0;
  std::map<std::string, std::string> waiting_;  // words for the bar, by name: those whose end is near
  std::map<std::string, std::string> said_;
  std::optional<progress> bar_;
  bool not_taken_told_ = false;
  const steady_clock::time_point began_ = steady_clock::now();
};

}  // namespace

task<> follow_accounts(session s, std::vector<std::string> names, interruption& stop) {
  following all(s, stop);
  co_await all.run(std::move(names));
}

}  // namespace recordkv::cli
