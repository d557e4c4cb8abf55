// Chance without chance: numbers that depend on the seed and on where they are drawn, and on nothing else.
//
// Owns: the generator, and the stepped Zipf law.
// Does not know: what is drawn for. Integers only: floating point would give another network on another machine.
#pragma once

#include <bit>
#include <cstdint>

namespace recordkv::sim {

/// One step of splitmix64, also used as a mixing function.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// A stream of numbers for one place (an event's index, an account's number) of one seed.
class draw {
 public:
  constexpr draw(std::uint64_t seed, std::uint64_t place) noexcept : state_(mix(mix(seed) ^ place)) {}

  constexpr std::uint64_t next() noexcept { return mix(state_ += 0x632be59bd9b4e019ULL); }
  /// 0 … n−1; n > 0.
  constexpr std::uint32_t below(std::uint32_t n) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32) * n) >> 32);
  }
  constexpr bool one_in(std::uint32_t n) noexcept { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

/// Ranks 0 … n−1 with probability about 1/(rank + head): the first `head` ranks are alike, then each doubling of the
/// rank holds as much as the one before. Stepped inside a doubling, which no test of ours can tell from the curve.
class zipf {
 public:
  constexpr zipf(std::uint32_t n, std::uint32_t head) noexcept : n_(n < 1 ? 1 : n), head_(head < 1 ? 1 : head) {}

  constexpr std::uint32_t operator()(draw& d) const noexcept {
    if (n_ <= head_) return d.below(n_);
    // steps: [0, head), [head, 2·head), [2·head, 4·head), …; the last one is cut at n and weighs by what is left of it
    const auto steps = static_cast<std::uint32_t>(std::bit_width((n_ - 1) / head_)) + 1;
    for (;;) {
      const std::uint32_t step = d.below(steps);
      if (step == 0) return d.below(head_);
      const std::uint64_t low = std::uint64_t{head_} << (step - 1);
      const std::uint64_t rank = low + d.below(static_cast<std::uint32_t>(low));
      if (rank < n_) return static_cast<std::uint32_t>(rank);
    }
  }

 private:
  std::uint32_t n_;
  std::uint32_t head_;
};

}  // namespace recordkv::sim
