// stages/kv/place_waits.hpp: which account gets the place that a host has again.
#include "repair/place_waits.hpp"

#include <catch2/catch_test_macros.hpp>

#include <set>
#include <string>
#include <vector>

using recordkv::stages::place_waits;

namespace {

std::vector<std::string> taken(place_waits& waits, const std::set<std::string>& with_place) {
  std::vector<std::string> out;
  while (auto did = waits.take([&](const std::string& host) { return with_place.contains(host); })) out.push_back(*did);
  return out;
}

}  // namespace

TEST_CASE("Waiting for a place: hosts take turns, and accounts of a host keep their order") {
  place_waits waits(10);
  for (const auto* did : {"a1", "a2", "a3"}) waits.add(did, "a");
  for (const auto* did : {"b1", "b2"}) waits.add(did, "b");
  waits.add("c1", "c");
  CHECK(*waits.host_of("b1") == "b");
  CHECK(taken(waits, {"a", "b"}) == std::vector<std::string>{"a1", "b1", "a2", "b2", "a3"});
  CHECK(waits.size() == 1);
  CHECK(waits.host_of("a1") == nullptr);
  CHECK(taken(waits, {"c"}) == std::vector<std::string>{"c1"});
  CHECK(taken(waits, {"a", "b", "c"}).empty());
}

TEST_CASE("Waiting for a place: an account waits once, can be removed, and beyond the bound is not remembered") {
  place_waits waits(2);
  waits.add("a1", "a");
  waits.add("a1", "b");
  waits.add("b1", "b");
  waits.add("b2", "b");
  CHECK(waits.size() == 2);
  CHECK(waits.host_of("b2") == nullptr);
  waits.remove("a1");
  waits.remove("a1");
  CHECK(taken(waits, {"a", "b"}) == std::vector<std::string>{"b1"});
}

TEST_CASE("Waiting for a place: hosts without one hide no other host for long") {
  place_waits waits(10'000);
  for (std::size_t n = 0; n < place_waits::max_looked_at + 9; ++n)
    waits.add("full" + std::to_string(n), "full" + std::to_string(n));
  waits.add("a1", "a");
  CHECK(taken(waits, {"a"}).empty());
  CHECK(taken(waits, {"a"}) == std::vector<std::string>{"a1"});
}
