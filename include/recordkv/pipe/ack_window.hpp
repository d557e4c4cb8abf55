// The window of what is in flight: opened in order, settled in any order, released only from its head.
//
// Owns: the items in flight; which of them are open, settled, skipped or to be sent again; the bounds by count and by
// bytes; the floor. Does not know: how an item is sent, and time. Pure. Rules X9 and X10 of docs/invariants.md.
//
//        floor()          first_refused()            next()
//   ......|s s o s s o o o|r r r r r r r r r r r r r|
//   gone     settled/open   must all be sent again
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <variant>

namespace recordkv::pipe {

/// The place of an item in the order. Ordinals begin at 0, rise by 1 and are never used twice.
using ordinal = std::uint64_t;

struct window_limits {
  std::size_t count = 4096;                   ///< items
  std::size_t bytes = std::size_t{16} << 20;  ///< bytes of all items together
};

/// `Item` is whatever the caller has to keep until the item is durable; by default nothing. One thread only.
template <class Item = std::monostate>
class ack_window {
 public:
  explicit ack_window(window_limits limits = {}) : limits_(limits) {}

  /// True when open() would exceed a bound. An empty window is never full: one item of any size always goes through.
  bool full() const noexcept { return !slots_.empty() && (slots_.size() >= limits_.count || bytes_ >= limits_.bytes); }
  bool empty() const noexcept { return slots_.empty(); }

  /// Takes the next ordinal, open. The caller has looked at full() before. `bytes` counts against the bound.
  ordinal open(std::size_t bytes, Item item = {}) {
    slots_.push_back({.item = std::move(item), .bytes = bytes});
    bytes_ += bytes;
    return next() - 1;
  }

  /// Takes the next ordinal and settles it at once, for something that needs no message but has its place in the order.
  ordinal skip(Item item = {}) {
    slots_.push_back({.item = std::move(item), .settled = true, .skipped = true});
    const ordinal o = next() - 1;
    release([](const Item&) {});
    return o;
  }

  /// Item `o` is durable. Raises the floor as far as it goes, and hands each item to `released(Item&)` before it is
  /// dropped, in order. Ignored for an ordinal that is not in the window, and for one that must be sent again.
  template <class Released>
  void settle(ordinal o, Released&& released) {
    if (o < floor_ || o >= next()) return;
    if (refused_ && o >= *refused_) return;  // an answer to an earlier sending says nothing about the next one
    slots_[o - floor_].settled = true;
    release(released);
  }
  void settle(ordinal o) {
    settle(o, [](const Item&) {});
  }

  /// Item `o` was refused or never answered. It and every later item count as not sent, also those that were settled:
  /// otherwise an older value that is sent again would end up above them (X10). Skipped items stay settled. Until
  /// reopen() nothing from there on can be settled. Ignored for an ordinal that is not in the window.
  void refuse(ordinal o) noexcept {
    if (o < floor_ || o >= next()) return;
    refused_ = std::min(refused_.value_or(o), o);
    for (std::size_t i = *refused_ - floor_; i < slots_.size(); ++i) slots_[i].settled = slots_[i].skipped;
  }
  /// Where a resend must begin; nullopt when nothing was refused since reopen().
  std::optional<ordinal> first_refused() const noexcept { return refused_; }
  /// The caller begins to send everything from first_refused() on again, in order: these items can be settled again.
  void reopen() noexcept { refused_.reset(); }

  /// All ordinals below are durable.
  ordinal floor() const noexcept { return floor_; }
  /// What the next open() or skip() returns.
  ordinal next() const noexcept { return floor_ + slots_.size(); }

  /// Drops all that is in flight: the floor rises to next(), as if all of it were durable.
  void abandon() noexcept {
    floor_ = next();
    slots_.clear();
    bytes_ = 0;
    refused_.reset();
  }

  /// The item of an ordinal in [floor(), next()). The reference lives until the item is released or dropped.
  Item& at(ordinal o) { return slots_[o - floor_].item; }
  const Item& at(ordinal o) const { return slots_[o - floor_].item; }
  /// True for every ordinal below the floor.
  bool settled(ordinal o) const noexcept { return o < floor_ || (o < next() && slots_[o - floor_].settled); }
  /// False for every ordinal that is not in the window.
  bool skipped(ordinal o) const noexcept { return o >= floor_ && o < next() && slots_[o - floor_].skipped; }
  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t count() const noexcept { return slots_.size(); }

 private:
  struct slot {
    Item item{};
    std::size_t bytes = 0;
    bool settled = false;
    bool skipped = false;
  };

  template <class Released>
  void release(Released&& released) {
    while (!slots_.empty() && slots_.front().settled) {
      released(slots_.front().item);
      bytes_ -= slots_.front().bytes;
      slots_.pop_front();
      ++floor_;
    }
  }

  window_limits limits_;
  std::deque<slot> slots_;  // [floor_, next())
  ordinal floor_ = 0;
  std::size_t bytes_ = 0;
  std::optional<ordinal> refused_;
};

}  // namespace recordkv::pipe
