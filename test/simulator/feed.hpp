// The network in time: the world's events, made when they are due.
//
// Owns: world, history, the clock that says how many events have happened.
// Does not know: clients, beyond that the first one may start the clock.
#pragma once

#include "history.hpp"
#include "world.hpp"

#include "recordkv/core/event.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <cstdint>
#include <string>

namespace recordkv::sim {

struct pace {
  std::uint64_t events = 0;        ///< how many there will be; 0: no end
  std::uint64_t rate = 0;          ///< a second; 0: as fast as they are taken
  std::uint64_t past = 0;          ///< how many have happened before the clock starts
  std::uint64_t window = 500'000;  ///< how many an endless history keeps
  bool wait_for_client = false;    ///< the clock starts with the first client
  bool on_time = false;            ///< each event happens when the wall clock shows its time; `rate` says nothing then
};

class feed {
 public:
  feed(const parameters& p, const pace& q);

  /// Moves the clock until the process ends. Not called: nothing happens after the past.
  task<> run();

  /// A client is there.
  void attend() { attended_ = true, happened_.notify(); }
  /// A client has everything: with rate 0 and no end, more is made.
  void want_more();
  /// Waits for more events, or for a nudge.
  task<> more() { return happened_.wait(); }
  /// Wakes every waiting reader, so that it looks again.
  void nudge() { happened_.notify(); }

  std::uint64_t emitted() const noexcept { return emitted_; }  ///< events before this one have happened
  std::uint64_t total() const noexcept { return pace_.events; }
  const history& past() const noexcept { return history_; }
  const parameters& rules() const noexcept { return world_.rules(); }

 private:
  void generate(std::uint64_t end);
  task<> keep_time();
  bool endless() const noexcept { return pace_.events == 0; }

  pace pace_;
  world world_;
  history history_;
  const step* step_ = nullptr;  // partly told
  std::uint64_t told_ = 0;      // events of it
  std::string text_;
  std::uint64_t emitted_ = 0;
  bool attended_ = false;
  event happened_;
};

/// The tag of an event that is about an account and so passes every collection filter.
inline constexpr std::uint16_t about_account = 0xffff;

}  // namespace recordkv::sim
