// The signed network in time: its messages, made when they are due or wanted.
//
// Owns: the clock, the messages that were, how many there will be.
// Does not know: where messages come from, beyond a function that makes some; clients.
#pragma once

#include "../feed.hpp"
#include "../history.hpp"

#include <cstdint>
#include <functional>
#include <string_view>

namespace recordkv::sim {

class signed_feed {
 public:
  /// Makes at least one step, about `left` of them before all planned faults must have happened. False: no more.
  using maker = std::function<bool(std::uint64_t left)>;

  explicit signed_feed(const pace& q);

  /// The maker appends its messages here.
  void append(std::uint64_t seq, std::string_view message);
  /// Messages are made by `m`. Makes the past at once.
  void begin(maker m, std::function<void()> when_finished);

  /// Moves the clock until the process ends.
  task<> run();

  void attend() { attended_ = true, happened_.notify(); }
  /// A client has everything: with rate 0, more is made.
  void want_more();
  /// `n` more messages at least, now.
  void emit(std::uint64_t n);
  task<> more() { return happened_.wait(); }
  void nudge() { happened_.notify(); }

  std::uint64_t emitted() const noexcept { return history_.end(); }
  std::uint64_t total() const noexcept { return pace_.events; }  ///< 0: no end
  bool finished() const noexcept { return ended_ || (total() > 0 && emitted() >= total()); }
  std::uint64_t last_seq() const noexcept { return last_seq_; }
  const history& past() const noexcept { return history_; }

 private:
  void make(std::uint64_t end);
  std::uint64_t left() const noexcept;

  pace pace_;
  maker make_;
  std::function<void()> when_finished_;
  history history_;
  std::uint64_t last_seq_ = 0;
  bool attended_ = false;
  bool ended_ = false;
  event happened_;
};

}  // namespace recordkv::sim
