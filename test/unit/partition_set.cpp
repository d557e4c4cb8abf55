#include "recordkv/kv/partition_set.hpp"

#include "recordkv/kv/record_key.hpp"

#include <catch2/catch_test_macros.hpp>

using recordkv::kv::partition_set;
using labels = std::vector<std::string>;

namespace {

partition_set of(std::string_view text, unsigned partitions = 16) {
  auto s = partition_set::parse(text, partitions);
  if (!s) FAIL(s.error().text);
  return std::move(*s);
}

}  // namespace

TEST_CASE("a share of the partitions is written in one way only") {
  CHECK(of("all").suffix().empty());
  CHECK(of("all").labels() == recordkv::kv::partition_labels(16));
  CHECK(of("0-7,a").suffix() == "-0-7_a");
  CHECK(of("a,7,0-6").suffix() == "-0-7_a");
  CHECK(of("a,a,a").suffix() == "-a");
  CHECK(of("0-7,8-f").all());
  CHECK(of("3,1").labels() == labels{"1", "3"});
  CHECK(of("00-1f", 64).suffix() == "-00-1f");
}

TEST_CASE("what is no partition is refused") {
  for (const char* wrong : {"", "g", "10", "7-0", "0-", "-0", "0,,1", "A", "0-7-9", " 1"}) {
    INFO(wrong);
    CHECK(partition_set::parse(wrong, 16).has_error());
  }
  CHECK(partition_set::parse("4", 4).has_error());
  CHECK(partition_set::parse("3", 4).has_value());
}

TEST_CASE("a name tells the share it was made for, and only a name of ours does") {
  for (const char* text : {"all", "0", "0-7,a", "8-f"}) {
    const auto s = of(text);
    const auto back = partition_set::of_name("view-likes" + s.suffix(), "view-likes", 16);
    REQUIRE(back.has_value());
    CHECK(back->labels() == s.labels());
  }
  for (const char* other : {"view-like", "view-likes2", "view-likes-", "view-likes-x", "view-likes-7_0",
                            "view-likes-0-f", "view-likes-all", "ingest"})
    CHECK_FALSE(partition_set::of_name(other, "view-likes", 16).has_value());
}

TEST_CASE("shares overlap when they have a partition in common") {
  CHECK(of("0-7").overlaps(of("7-9")));
  CHECK(of("all").overlaps(of("c")));
  CHECK_FALSE(of("0-7").overlaps(of("8-f")));
}
