// What numbers mean for the place where reading goes on, without a connection and without a clock.
#include "../../src/firehose/numbering.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>

using namespace recordkv;
using firehose::numbering;
using firehose::placement;
using turn = firehose::placement::turn;

namespace {

constexpr double now = 1'800'000'000;

atproto::frame_summary event(std::uint64_t seq, double time = 0) { return {.seq = seq, .time = time}; }

struct one_source {
  explicit one_source(bool strict, firehose::source_spec spec = {}) : numbers(strict, spec) {
    numbers.connected(false);
  }
  placement take(std::uint64_t seq, double time = 0, std::string bytes = {}) {
    if (bytes.empty()) bytes = std::to_string(seq);
    return numbers.take(event(seq, time), bytes, now);
  }
  numbering numbers;
};

}  // namespace

TEST_CASE("where numbers rise strictly, a frame is repeated, late, or in order") {
  one_source s(true);
  CHECK(s.take(5).what == turn::in_order);
  CHECK(s.take(8).what == turn::in_order);
  CHECK(s.take(8).what == turn::repeated);
  CHECK(s.numbers.seq() == 8);

  const auto late = s.take(6);
  CHECK(late.what == turn::late);
  CHECK(late.counts_as_late);
  CHECK(late.behind == 8);
  CHECK(s.take(6).what == turn::repeated);
  CHECK(s.numbers.seq() == 8);
}

TEST_CASE("an event that an earlier run has returned is not returned again") {
  one_source s(true, {.cursor = source_position(100, now - 50)});
  CHECK(s.take(100, now - 50).what == turn::repeated);  // the host includes the cursor
  CHECK(s.take(90, now - 60).what == turn::regressed);
  CHECK(s.take(101, now - 40).what == turn::in_order);
}

TEST_CASE("three newer events in a row with lower numbers begin another numbering; five where none has a time") {
  const bool timed = GENERATE(true, false);
  const int needed = timed ? 3 : 5;
  one_source s(true, {.cursor = source_position(1000, now - 50)});
  const auto time = [&](int i) { return timed ? now - 40 + i : 0; };
  for (int i = 1; i < needed; ++i) {
    INFO(i);
    CHECK_FALSE(s.take(static_cast<std::uint64_t>(i), time(i)).renumbered);
    CHECK(s.numbers.seq() == 1000);
  }
  const auto decided = s.take(static_cast<std::uint64_t>(needed), time(needed));
  CHECK(decided.renumbered == 1u);
  CHECK(decided.witnesses == needed);
  CHECK(decided.what == turn::in_order);
  CHECK(s.numbers.seq() == static_cast<std::uint64_t>(needed));
}

TEST_CASE("a run of lower numbers that is broken decides nothing") {
  one_source s(true, {.cursor = source_position(1000, now - 50)});
  for (const std::uint64_t seq : {1, 2}) CHECK_FALSE(s.take(seq, now - 40).renumbered);
  s.take(1001, now - 39);  // the old numbering goes on
  for (const std::uint64_t seq : {3, 4}) CHECK_FALSE(s.take(seq, now - 38).renumbered);
  CHECK(s.numbers.seq() == 1001);
}

TEST_CASE("a number from the future is not believed, and its time is not kept") {
  const numbering strict(true, {}), loose(false, {});
  const auto us = [](double seconds) { return static_cast<std::uint64_t>(seconds * 1e6); };
  CHECK(loose.believable(us(now + 299), now));
  CHECK_FALSE(loose.believable(us(now + 301), now));
  CHECK(strict.believable((std::uint64_t{1} << 53) - 1, now));
  CHECK_FALSE(strict.believable(std::uint64_t{1} << 53, now));
  CHECK(numbering::believable_time(now + 299, now) == now + 299);
  CHECK(numbering::believable_time(now + 301, now) == 0);
}

TEST_CASE("the first event of a connection shows whether the same Jetstream instance answers") {
  const firehose::source_spec spec{.cursor = source_position(500, now - 50)};
  one_source s(false, spec);
  CHECK_FALSE(s.numbers.other_instance(event(501, now), now));
  CHECK_FALSE(s.numbers.other_instance(event(510, now - 49), now));
  CHECK(s.numbers.other_instance(event(510, now - 40), now));
  CHECK(s.numbers.other_instance(event(400, now - 40), now));
  CHECK_FALSE(s.numbers.other_instance(event(400, now - 60), now));

  s.numbers.resume_by_time();
  CHECK_FALSE(s.numbers.place().seq);
  CHECK(s.numbers.place().behind == static_cast<std::uint64_t>((now - 55) * 1e6));

  one_source going(false, spec);
  going.take(501, now - 49);
  CHECK_FALSE(going.numbers.other_instance(event(900, now), now));  // no longer the first
}

TEST_CASE("numbers where times stood are another numbering at once") {
  const auto time = static_cast<std::uint64_t>((now - 50) * 1e6);
  one_source s(false, {.cursor = source_position(time)});
  CHECK(s.numbers.place().time == now - 50);
  const auto placed = s.take(7, now - 40);
  CHECK(placed.renumbered == 7u);
  CHECK(placed.witnesses == 0);
  CHECK_FALSE(placed.behind);
  CHECK(s.numbers.seq() == 7);
}

TEST_CASE("a host that does not know our number is read from its oldest event, or by time") {
  one_source strict(true, {.cursor = source_position(9, now - 50)});
  CHECK(strict.numbers.restart() == 1);
  CHECK_FALSE(strict.numbers.place().seq);
  CHECK_FALSE(strict.numbers.place().behind);
  CHECK(strict.numbers.place().start == firehose::start_at::oldest);
  CHECK(strict.numbers.restart() == 2);
  strict.take(1, now - 40);
  CHECK(strict.numbers.restart() == 1);

  one_source loose(false, {.cursor = source_position(9, now - 50)});
  loose.numbers.restart();
  CHECK(loose.numbers.place().behind == static_cast<std::uint64_t>((now - 55) * 1e6));
}
