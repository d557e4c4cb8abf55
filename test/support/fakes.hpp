// What stands in for the world when a stage is tested without a network, and turning the loop until a fact holds.
//
// Owns: an inbox, an outbox and a bucket of account states in memory, whose answers a test can hold back, refuse or
// fail; the journal of what happened, in order.
// Does not know: what the messages mean.
#pragma once

#include "pipeline.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::test {

/// "put KEY", "durable ORDINAL", "state DID REV", "ack NUMBER", in the order in which they happened.
using journal = std::vector<std::string>;

/// Batches as a test delivers them; message n (from 1) says so in its reply subject, as JetStream does.
class fake_inbox final : public nats::inbox {
 public:
  explicit fake_inbox(journal& log) : log_(log) {}

  void deliver(std::vector<std::string> batch);
  void deliver(std::string one) { deliver(std::vector<std::string>{std::move(one)}); }
  /// What the next messages carry.
  nats::header_list headers;

  task<result<std::vector<nats::message>>> next() override;
  void settle(const nats::message& m) override;
  void close() noexcept override;

  std::vector<std::uint64_t> settled;  ///< numbers of messages, in the order of their settling
  std::size_t taken = 0;               ///< messages that next() has returned

 private:
  journal& log_;
  std::deque<std::vector<nats::message>> batches_;
  std::uint64_t delivered_ = 0;
  bool closed_ = false;
  event arrived_;
};

/// Everything put is durable at once, unless corked.
class fake_outbox final : public nats::outbox {
 public:
  struct sent_message {
    std::string subject;
    nats::header_list headers;
    std::string payload;
    std::string header_value(std::string_view name) const;
  };

  explicit fake_outbox(journal& log, pipe::window_limits limits = {}) : log_(log), window_(limits) {}

  /// From here on nothing becomes durable by itself.
  void cork() noexcept { corked_ = true; }
  void uncork();
  /// While corked: the first `n` of what is in flight become durable.
  void let(std::size_t n);
  /// The next `n` puts are answered too_large; they take no ordinal.
  void refuse(std::size_t n) noexcept { refusals_ = n; }
  /// Every put from now on fails with closed.
  void close() noexcept;

  task<result<nats::ordinal>> put(std::string subject, nats::header_list headers, std::string payload) override;
  nats::ordinal skip() override;
  nats::ordinal floor() const noexcept override { return window_.floor(); }
  std::uint64_t stored() const noexcept override { return window_.floor(); }
  event& moved() noexcept override { return moved_; }

  std::vector<sent_message> sent;
  /// "SUBJECT=PAYLOAD" of each; a delete marker has "DEL" for its payload.
  std::vector<std::string> lines() const;

 private:
  void settle(nats::ordinal o);

  journal& log_;
  pipe::ack_window<> window_;
  std::deque<nats::ordinal> open_;
  std::size_t refusals_ = 0;
  bool corked_ = false;
  bool closed_ = false;
  event moved_;
};

/// Bucket `repo`: compare-and-set for real, failures as ordered.
class fake_states {
 public:
  explicit fake_states(journal& log) : log_(log) {}

  stages::state_port port();
  /// Puts a state there as an earlier run left it.
  void stand(kv::repo_state s);
  /// As another process would write it.
  void overwrite(const std::string& did) { ++at(did).seq; }
  const kv::repo_state* find(const std::string& did) const;

  void fail_loads(std::size_t n) noexcept { load_failures_ = n; }
  void fail_saves(std::size_t n) noexcept { save_failures_ = n; }
  /// Saves wait from here on, until release().
  void hold() noexcept { held_ = true; }
  void release();

  std::vector<std::string> loaded;      ///< DIDs, as often as each was asked for
  std::vector<kv::repo_state> written;  ///< in order
  std::size_t saves_begun = 0;

 private:
  stages::state_port::stored& at(const std::string& did);
  task<std::vector<result<stages::state_port::stored>>> load(std::vector<std::string> dids);
  task<result<std::vector<std::uint64_t>>> save(const std::vector<stages::state_port::stored>& states);

  journal& log_;
  std::map<std::string, stages::state_port::stored> standing_;
  std::uint64_t last_seq_ = 0;
  std::size_t load_failures_ = 0, save_failures_ = 0;
  bool held_ = false;
  event released_;
};

inline constexpr std::chrono::seconds patience{20};

/// Runs the loop until the task is done; gives up, with nothing, after `limit`.
template <class T>
std::optional<T> run_coroutine(asio::io_context& io, task<T> work,
                               std::chrono::steady_clock::duration limit = patience) {
  struct outcome {
    std::optional<T> value;
    std::exception_ptr thrown;
  };
  const auto out = std::make_shared<outcome>();  // the task may outlive this call
  asio::co_spawn(io, std::move(work), [out](std::exception_ptr e, T value) {
    out->thrown = e;
    if (!e) out->value = std::move(value);
  });
  const auto until = std::chrono::steady_clock::now() + limit;
  io.restart();
  while (!out->value && !out->thrown && io.run_one_until(until) > 0) {
  }
  if (out->thrown) std::rethrow_exception(out->thrown);
  return std::move(out->value);
}

/// Runs the loop until `fact` holds, and looks every few milliseconds, since a fact may be none of the loop's; false
/// after `limit`.
template <class Fact>
bool becomes(asio::io_context& io, Fact fact, std::chrono::steady_clock::duration limit = patience) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!fact()) {
    if (std::chrono::steady_clock::now() > until) return false;
    io.restart();
    io.run_one_for(std::chrono::milliseconds(10));
  }
  return true;
}

/// Runs everything that can run now, without waiting for any timer.
inline void settle_down(asio::io_context& io) {
  io.restart();
  while (io.poll_one() > 0) {
  }
}

}  // namespace recordkv::test
