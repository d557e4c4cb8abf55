// The ring of what is in flight: opened in order, answered in any order, released only from its head.
//
// Owns: which ordinals are open, settled or refused; the bounds by count and bytes; the floor.
// Refuses to know: what an item is, how it is sent, and time. Pure; docs/invariants.md X9, X10.
//
//        floor()          first_refused()            next()
//   ......|s s o s s o o o|r s s s s o o o o o o o o|
//   gone     settled/open   must all be sent again
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace recordkv::pipe {

using ordinal = std::uint64_t;

struct window_limits {
  std::size_t count = 4096;
  std::size_t bytes = std::size_t{16} << 20;
};

class ack_window {
 public:
  explicit ack_window(window_limits limits = {}) : limits_(limits) {}

  /// True when open() would go over a bound. An empty window is never full: one item of any size always goes through.
  bool full() const noexcept;
  bool empty() const noexcept { return items_.empty(); }

  /// Takes the next ordinal; not settled. The caller has looked at full().
  ordinal open(std::size_t bytes);

  /// Takes the next ordinal and settles it at once: something that needs no message but has its place in the order.
  ordinal skip();

  /// The item is durable. Raises the floor as far as it goes. Ignored below the floor.
  void settle(ordinal o);

  /// The item was refused or never answered: it and every later ordinal count as unsent, settled or not, because what
  /// is sent again would otherwise come after what followed it (X10). Ordinals that were skipped stay settled.
  void refuse(ordinal o);

  /// All below are durable.
  ordinal floor() const noexcept { return floor_; }
  /// What the next open() or skip() will return.
  ordinal next() const noexcept { return floor_ + items_.size(); }
  /// Where a resend must begin; nullopt when nothing was refused since resent().
  std::optional<ordinal> first_refused() const noexcept { return refused_; }
  /// The caller has sent everything from first_refused() on again, in order.
  void resent() noexcept { refused_.reset(); }

  /// Forgets what is in flight: the floor jumps to next(). Ordinals are never used twice.
  void abandon() noexcept;

  bool settled(ordinal o) const noexcept;
  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t count() const noexcept { return items_.size(); }

 private:
  struct item {
    std::size_t bytes = 0;
    bool settled = false;
    bool skipped = false;
  };
  void release();

  window_limits limits_;
  std::deque<item> items_;  // [floor_, next())
  ordinal floor_ = 0;
  std::size_t bytes_ = 0;
  std::optional<ordinal> refused_;
};

}  // namespace recordkv::pipe
