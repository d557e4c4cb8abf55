#include "change_rate.hpp"

#include <catch2/catch_test_macros.hpp>

using recordkv::stages::change_rate;
using namespace std::chrono_literals;

namespace {

/// Calls `busy` after each change of so many a second, for a second. Returns how often it was.
int times_busy(change_rate& rate, change_rate::clock::time_point& now, int a_second) {
  int busy = 0;
  for (int i = 0; i < a_second; ++i) {
    now += std::chrono::nanoseconds(1'000'000'000 / a_second);
    rate.add(1);
    busy += rate.busy(now) ? 1 : 0;
  }
  return busy;
}

}  // namespace

TEST_CASE("from 5,000 changes a second on it is busy, and no longer than that") {
  change_rate rate;
  auto now = change_rate::clock::time_point(1h);
  CHECK(times_busy(rate, now, 4'000) == 0);
  CHECK(times_busy(rate, now, 20'000) > 17'000);
  times_busy(rate, now, 2'000);
  CHECK(times_busy(rate, now, 2'000) == 0);
}

TEST_CASE("a burst after a pause is not busy; what piled up in a halt is, for one window") {
  change_rate rate;
  auto now = change_rate::clock::time_point(1h);
  CHECK_FALSE(rate.busy(now));
  rate.add(2'000);
  CHECK_FALSE(rate.busy(now += 10s));
  rate.add(1'400);  // a second of 1,400 changes a second
  CHECK(rate.busy(now += 101ms));
  rate.add(140);
  CHECK_FALSE(rate.busy(now += 100ms));
}
