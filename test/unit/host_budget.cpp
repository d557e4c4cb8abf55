// xrpc/host_budget.hpp: places of each host and of all together, pauses, and what is remembered.
#include "recordkv/xrpc/host_budget.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using namespace std::chrono_literals;
using xrpc::host_budget;

namespace {

const host_budget::clock::time_point start{1000h};

}  // namespace

TEST_CASE("Host budget: a host gets its places and no more") {
  host_budget budget({.per_host = 2, .overall = 16});
  CHECK(budget.begin("a", start));
  CHECK(budget.begin("a", start));
  CHECK_FALSE(budget.has_place("a", start));
  CHECK_FALSE(budget.begin("a", start));
  CHECK(budget.has_place("b", start));
  CHECK(budget.begin("b", start));
  CHECK(budget.used() == 3);
  budget.end("a");
  CHECK(budget.begin("a", start));
  CHECK_FALSE(budget.begin("a", start));
}

TEST_CASE("Host budget: all hosts together have a limit") {
  host_budget budget({.per_host = 2, .overall = 3});
  CHECK(budget.begin("a", start));
  CHECK(budget.begin("b", start));
  CHECK(budget.has_room());
  CHECK(budget.begin("c", start));
  CHECK_FALSE(budget.has_room());
  CHECK_FALSE(budget.begin("d", start));
  CHECK(budget.hosts() == 3);
  budget.end("b");
  CHECK(budget.has_room());
  CHECK(budget.begin("d", start));
}

TEST_CASE("Host budget: without any places nothing begins, and nothing is remembered") {
  host_budget of_none({.per_host = 0, .overall = 4}), none({.per_host = 2, .overall = 0});
  CHECK_FALSE(of_none.begin("a", start));
  CHECK_FALSE(none.begin("a", start));
  CHECK(of_none.hosts() + none.hosts() == 0);
}

TEST_CASE("Host budget: a paused host gets no place until the pause ends") {
  host_budget budget({});
  budget.pause("a", start + 10s);
  CHECK(budget.paused_until("a", start) == start + 10s);
  CHECK_FALSE(budget.begin("a", start));
  CHECK_FALSE(budget.begin("a", start + 10s - 1ns));
  CHECK(budget.begin("b", start));
  CHECK_FALSE(budget.paused_until("b", start).has_value());
  CHECK_FALSE(budget.paused_until("a", start + 10s).has_value());
  CHECK(budget.begin("a", start + 10s));
}

TEST_CASE("Host budget: of two pauses the later end counts") {
  host_budget budget({});
  budget.pause("a", start + 10s);
  budget.pause("a", start + 5s);
  CHECK(budget.paused_until("a", start) == start + 10s);
  budget.pause("a", start + 20s);
  CHECK(budget.paused_until("a", start) == start + 20s);
}

TEST_CASE("Host budget: a pause outlives the request that was told of it") {
  host_budget budget({});
  REQUIRE(budget.begin("a", start));
  budget.pause("a", start + 10s);
  budget.end("a");
  CHECK(budget.used() == 0);
  CHECK_FALSE(budget.begin("a", start + 1s));
  CHECK(budget.begin("a", start + 10s));
}

TEST_CASE("Host budget: a place that was not taken is not given back") {
  host_budget budget({.per_host = 1, .overall = 1});
  budget.end("a");
  REQUIRE(budget.begin("a", start));
  budget.end("b");
  budget.pause("c", start + 1s);
  budget.end("c");
  CHECK(budget.used() == 1);
  budget.end("a");
  budget.end("a");
  CHECK(budget.used() == 0);
}

TEST_CASE("Host budget: hosts without a place or a pause are forgotten") {
  host_budget budget({.per_host = 1, .overall = 4});
  for (int i = 0; i < 1000; ++i) {
    const auto host = std::to_string(i);
    REQUIRE(budget.begin(host, start));
    budget.end(host);
  }
  CHECK(budget.hosts() == 0);
  REQUIRE(budget.begin("busy", start));
  for (int i = 0; i < 1000; ++i) budget.pause(std::to_string(i), start + 1s * i);
  budget.pause("busy", start + 1s);
  CHECK(budget.hosts() == 1001);
  CHECK_FALSE(budget.begin("busy", start + 500s));
  CHECK(budget.hosts() == 500);  // 501 to 999, and the busy one
  CHECK_FALSE(budget.begin("busy", start + 2000s));
  CHECK(budget.hosts() == 1);
  budget.end("busy");
  CHECK_FALSE(budget.paused_until("busy", start + 2000s).has_value());
  REQUIRE(budget.begin("other", start + 2000s));
  budget.end("other");
  CHECK(budget.hosts() == 0);
}
