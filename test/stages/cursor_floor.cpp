// pipe/cursor_floor.hpp: the cursor follows what the store has settled, and that only after a while.
#include "recordkv/pipe/cursor_floor.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace std::chrono_literals;
using recordkv::pipe::cursor_floor;

namespace {
const cursor_floor::time start{};
constexpr auto hold = std::chrono::milliseconds(240'000);
}  // namespace

TEST_CASE("X4: what still stands in the buffer is not the cursor's to say") {
  cursor_floor f;
  f.accepted(10, 100);
  f.accepted(11, 101);
  f.accepted(12, 105);
  f.settled_below(10, start);
  CHECK_FALSE(f.durable(start + 2 * hold, hold));
  f.settled_below(12, start);
  CHECK(f.standing() == 1);
  CHECK(f.durable(start + hold, hold) == 101);
  CHECK_FALSE(f.durable(start + 3 * hold, hold));  // each is returned once
  f.settled_below(13, start + hold);
  CHECK(f.durable(start + 2 * hold, hold) == 105);
}

TEST_CASE("X4: what was let go is held back, because a store acknowledges before it syncs") {
  cursor_floor f;
  f.accepted(1, 10);
  f.accepted(2, 20);
  f.settled_below(2, start);
  f.settled_below(3, start + 1s);
  CHECK_FALSE(f.durable(start + hold - 1ms, hold));
  CHECK(f.durable(start + hold, hold) == 10);
  CHECK_FALSE(f.durable(start + hold + 999ms, hold));
  CHECK(f.durable(start + hold + 1s, hold) == 20);
}

TEST_CASE("several releases that are due give the newest") {
  cursor_floor f;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    f.accepted(i, 10 * i);
    f.settled_below(i + 1, start + std::chrono::seconds(i));
  }
  CHECK(f.durable(start + 3s + hold, hold) == 30);
}

TEST_CASE("a dropped frame is done with the one before it") {
  cursor_floor f;
  SECTION("which stands in the buffer") {
    f.accepted(1, 10);
    f.dropped(11, start);
    f.dropped(12, start);
    CHECK_FALSE(f.durable(start + hold, hold));
    f.settled_below(2, start);
    CHECK(f.durable(start + hold, hold) == 12);
  }
  SECTION("which is being held back") {
    f.accepted(1, 10);
    f.settled_below(2, start);
    f.dropped(11, start + 1s);
    CHECK(f.durable(start + hold, hold) == 11);
  }
  SECTION("or, with none, for itself: a quiet filter does not age the cursor") {
    f.dropped(7, start);
    CHECK_FALSE(f.durable(start + hold - 1ms, hold));
    CHECK(f.durable(start + hold, hold) == 7);
  }
}

TEST_CASE("a frame behind dropped ones still holds the cursor back") {
  cursor_floor f;
  f.accepted(1, 10);
  f.dropped(11, start);
  f.accepted(2, 12);
  f.dropped(13, start);
  f.settled_below(2, start);
  CHECK(f.durable(start + hold, hold) == 11);
}

TEST_CASE("X3: after clear() nothing of before counts") {
  cursor_floor f;
  f.accepted(1, 10);
  f.accepted(2, 20);
  f.settled_below(2, start);
  f.clear();
  CHECK(f.standing() == 0);
  CHECK_FALSE(f.durable(start + hold, hold));
  f.accepted(1, 5);
  f.settled_below(2, start);
  CHECK(f.durable(start + hold, hold) == 5);
}
