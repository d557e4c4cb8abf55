// Each file of wrong_views/ has one mistake, and in its first line what is said of it: "# expect: LINE: KEY: …".
#include "view_plan_fixture.hpp"

#include <algorithm>
#include <set>

using namespace recordkv;
using namespace recordkv::view;

TEST_CASE("a wrong view file: the message names file, line and key and says what to write") {
  const std::filesystem::path directory = RECORDKV_SOURCE_ROOT "/test/unit/wrong_views";
  std::set<std::string> expectations;
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const auto file = entry.path().string();
    INFO(file);
    REQUIRE(entry.path().extension() == ".toml");
    ++files;
    std::string first;
    std::ifstream in(file);
    std::getline(in, first);
    constexpr std::string_view mark = "# expect: ";
    REQUIRE(first.starts_with(mark));
    const auto expected = first.substr(mark.size());
    REQUIRE(expected.find(": ") != std::string::npos);
    CHECK(expectations.insert(expected.substr(expected.find(": "))).second);  // two files for one mistake prove nothing
    const auto plans = load_plans(file);
    REQUIRE(plans.has_error());
    CHECK(plans.error().code == errc::bad_config);
    CHECK(plans.error().text == fmt::format("{}:{}", file, expected));
    const auto checked = check_plans(file);
    REQUIRE(checked.has_error());
    CHECK(checked.error().text == plans.error().text);
  }
  CHECK(files >= 30);
}
