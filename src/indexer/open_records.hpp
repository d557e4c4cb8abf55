// The records that were handed to the reader and are not settled, by stream sequence.
//
// Owns: their order, and what each acknowledgement needs. Does not know: consumers. Pure.
#pragma once

#include "recordkv/nats/message.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>

namespace recordkv {

class open_records {
 public:
  std::size_t wanted() const noexcept { return wanted_; }
  std::uint64_t done() const noexcept { return done_; }
  std::uint64_t given() const noexcept { return given_; }
  void begin(std::uint64_t done) noexcept { done_ = given_ = done; }

  /// What becomes of a delivery. `hand_out`: it is new, and wanted. `keep`: it was seen before and is not settled, or
  /// it is unwanted; settle() acknowledges it, by its newest delivery. `acknowledge`: it is settled already, but that
  /// acknowledgement was for a delivery from before a rewind, which the consumer has forgotten. Nothing else will
  /// acknowledge this delivery, and without it the durable's floor would stand still.
  enum class fate { hand_out, keep, acknowledge };

  fate take(const nats::message& m, std::uint64_t seq, bool wanted) {
    if (seq > given_) {
      given_ = seq;
      open_.push_back({seq, receipt(m), wanted});
      wanted_ += wanted ? 1 : 0;
      return wanted ? fate::hand_out : fate::keep;
    }
    const auto at = std::ranges::lower_bound(open_, seq, {}, &entry::seq);
    if (at == open_.end() || at->seq != seq) return fate::acknowledge;
    at->to_acknowledge = receipt(m);
    return fate::keep;
  }

  /// Settles all up to `seq`, and the unwanted ones directly behind it. `acknowledge` is called with the receipt of
  /// each.
  template <class Acknowledge>
  void settle(std::uint64_t seq, Acknowledge acknowledge) {
    while (!open_.empty() && (open_.front().seq <= seq || !open_.front().wanted)) {
      done_ = open_.front().seq;
      wanted_ -= open_.front().wanted ? 1 : 0;
      acknowledge(open_.front().to_acknowledge);
      open_.pop_front();
    }
  }

 private:
  struct entry {
    std::uint64_t seq;
    nats::message to_acknowledge;
    bool wanted;
  };
  // Only the reply subject, without the record: thousands may be open.
  static nats::message receipt(const nats::message& m) {
    auto r = nats::message::make("-", std::string(m.reply()), "");
    r.incarnation(m.incarnation());
    return r;
  }

  std::deque<entry> open_;
  std::size_t wanted_ = 0;
  std::uint64_t done_ = 0, given_ = 0;
};

}  // namespace recordkv
