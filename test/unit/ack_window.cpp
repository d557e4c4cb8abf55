#include "recordkv/pipe/ack_window.hpp"

#include <catch2/catch_test_macros.hpp>

#include <random>
#include <set>

using recordkv::pipe::ack_window;
using recordkv::pipe::ordinal;

TEST_CASE("the floor follows the first unsettled item, not the newest settled one") {
  ack_window<> w;
  for (int i = 0; i < 4; ++i) w.open(1);
  w.settle(3);
  w.settle(1);
  CHECK(w.floor() == 0);
  w.settle(0);
  CHECK(w.floor() == 2);
  w.settle(2);
  CHECK(w.floor() == 4);
  CHECK(w.empty());
}

TEST_CASE("a skipped item takes its turn like any other") {
  ack_window<> w;
  const auto put = w.open(10);
  const auto skipped = w.skip();
  CHECK(w.floor() == put);
  w.settle(put);
  CHECK(w.floor() == skipped + 1);
  w.skip();
  CHECK(w.floor() == skipped + 2);
}

TEST_CASE("a refusal reopens everything behind it, except what was skipped") {
  ack_window<> w;
  for (int i = 0; i < 3; ++i) w.open(1);
  const auto skipped = w.skip();
  w.open(1);
  w.settle(1);
  w.settle(2);
  w.refuse(1);
  CHECK(w.first_refused() == ordinal{1});
  CHECK_FALSE(w.settled(1));
  CHECK_FALSE(w.settled(2));
  CHECK(w.settled(skipped));
  w.settle(0);
  CHECK(w.floor() == 1);
  w.settle(2);  // an answer to the old sending says nothing any more
  CHECK_FALSE(w.settled(2));
  w.reopen();
  for (ordinal o = 1; o < 5; ++o) w.settle(o);
  CHECK(w.floor() == 5);
}

TEST_CASE("an earlier refusal moves the beginning of the resend, a later one does not") {
  ack_window<> w;
  for (int i = 0; i < 5; ++i) w.open(1);
  w.refuse(3);
  w.refuse(2);
  w.refuse(4);
  CHECK(w.first_refused() == ordinal{2});
}

TEST_CASE("bounded by count and by bytes, and an empty window admits one of any size") {
  ack_window<> w({.count = 3, .bytes = 100});
  CHECK_FALSE(w.full());
  w.open(1'000'000);
  CHECK(w.full());
  w.settle(0);
  CHECK_FALSE(w.full());
  CHECK(w.bytes() == 0);
  for (int i = 0; i < 3; ++i) w.open(1);
  CHECK(w.full());
}

TEST_CASE("random answers: the floor is always the first unsettled item") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    ack_window<> w;
    std::set<ordinal> open;
    for (int step = 0; step < 300; ++step) {
      switch (random() % 3) {
        case 0: open.insert(w.open(1)); break;
        case 1: {
          if (open.empty()) break;
          auto it = std::next(open.begin(), random() % open.size());
          w.settle(*it);
          open.erase(it);
          break;
        }
        default: w.skip();
      }
      REQUIRE(w.floor() == (open.empty() ? w.next() : *open.begin()));
    }
  }
}
