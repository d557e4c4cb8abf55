// A record is read as far as a plan names it: what the plan looks into is as in the whole tree, and mistakes are the
// same.
#include "plan/named_members.hpp"

#include "plan/pointer.hpp"
#include "view_plan_fixture.hpp"

#include <boost/json.hpp>

#include <array>
#include <random>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

namespace json = boost::json;

struct outcome {
  json::value value;
  boost::system::error_code ec;
};

constexpr std::size_t deepest = 8;

json::parse_options options() {
  json::parse_options o;
  o.max_depth = deepest;
  return o;
}

outcome whole(std::string_view text) {
  outcome out;
  out.value = json::parse(text, out.ec, {}, options());
  return out;
}

outcome named(const plan& p, std::string_view text) {
  outcome out;
  out.value = parse_named_members(p, text, options(), {}, out.ec);
  return out;
}

std::string members(const plan& p, std::string_view text) {
  const auto read = named(p, text);
  return read.ec ? "no JSON" : json::serialize(read.value);
}

std::vector<std::string> pointers_of(const plan& p) {
  std::vector<std::string> out;
  if (!p.each.empty()) out.push_back(p.each.substr(0, p.each.find("/*")));
  for (const auto& c : p.columns)
    if (c.from == origin::record || (c.from == origin::element && p.each.empty())) out.push_back(c.pointer);
  for (const auto& t : p.where)
    if (t.of_record || p.each.empty()) out.push_back(t.pointer);
  return out;
}

/// Texts that are JSON more often than not.
class writer {
 public:
  explicit writer(unsigned seed) : random_(seed) {}

  std::string text() {
    auto out = below(10) == 0 ? value(0) : object(0);
    if (below(4) == 0 && !out.empty()) out[below(out.size())] = R"({}[]",:0x\)"[below(10)];
    if (below(10) == 0) out.resize(below(out.size() + 1));
    return out;
  }

 private:
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }
  std::string value(std::size_t depth) {
    constexpr std::array<std::string_view, 9> single{
        "1", "-2.5", "18446744073709551615", "true", "null", "\"text\"", "\"\"", "1e3", R"("\u00e4\n\ud83d\ude00")"};
    const auto kind = below(depth > deepest ? 2 : 4);
    return kind < 2 ? std::string(single[below(single.size())]) : kind == 2 ? array(depth) : object(depth);
  }
  std::string array(std::size_t depth) {
    std::string out;
    for (auto n = below(4); n > 0; --n) out += (out.empty() ? "" : ",") + value(depth + 1);
    return "[" + out + "]";
  }
  std::string object(std::size_t depth) {
    constexpr std::array<std::string_view, 9> keys{"a",   "b",        "list", "x",     R"(\u0061)",
                                                   "a/b", R"(a~\"b)", "z",    R"(z\n)"};
    std::string out;
    for (auto n = below(6); n > 0; --n)
      out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ", ", keys[below(keys.size())], value(depth + 1));
    return "{" + out + "}";
  }
  std::mt19937 random_;
};

std::vector<plan> plans() {
  std::vector<plan> out;
  out.push_back(planned(R"(columns = [ { name = "x", pointer = "/a/x" }, { name = "y", pointer = "/list/1/b" } ])"));
  out.push_back(planned(R"(columns = [ { name = "x", pointer = "/a~1b" }, { name = "y", pointer = "/a~0\"b/x" } ])"));
  out.push_back(
      planned("where = [ { pointer = \"/b\", exists = true } ]\n"
              R"(columns = [ { name = "x", pointer = "/z" } ])"));
  out.push_back(
      planned("each = \"/list/*/x\"\nwhere = [ { record = \"/b\", exists = true } ]\n"
              R"(columns = [ { name = "x", pointer = "/a" }, { name = "y", record = "/z/a" } ])"));
  out.push_back(planned(R"(columns = [ { name = "all", pointer = "", type = "json" } ])"));
  return out;
}

}  // namespace

TEST_CASE("a record is read without the members that the plan does not name") {
  const auto p = planned(
      "where = [ { pointer = \"/b\", exists = false } ]\n"
      R"(columns = [ { name = "x", pointer = "/a/x" } ])");
  CHECK(members(p, R"({"z":[{"a":1}],"a":{"x":1,"z":{"b":2}},"b":null,"aa":"a","":0})") ==
        R"({"a":{"x":1,"z":{"b":2}},"b":null})");
  CHECK(members(p, R"({"\u0061":1,"a\u0061":2,"b":[]})") == R"({"a":1,"b":[]})");
  CHECK(members(p, R"({"a":1,"z":0,"a":2})") == R"({"a":2})");
  CHECK(members(p, "{}") == "{}");
  CHECK(members(p, R"([{"z":1}])") == R"([{"z":1}])");
  CHECK(members(p, "1") == "1");
  for (const std::string_view bad : {"", "{", R"({"z":tru})", R"({"z":"\x"})", R"({"z":[1,]})", R"({"z":1}})"})
    CHECK(members(p, bad) == "no JSON");
}

TEST_CASE("of elements of `each` the plan's pointers say nothing about the record's members") {
  const auto p = planned(
      "each = \"/list\"\nwhere = [ { record = \"/b\", exists = true } ]\n"
      R"(columns = [ { name = "x", pointer = "/a" }, { name = "z", record = "/z" } ])");
  CHECK(members(p, R"({"a":1,"b":2,"list":[{"a":3}],"x":4,"z":5})") == R"({"b":2,"list":[{"a":3}],"z":5})");
  const auto all = planned(
      "each = \"/list\"\n"
      R"(columns = [ { name = "x", pointer = "/a" }, { name = "all", record = "", type = "json" } ])");
  CHECK(members(all, R"({"a":1,"list":[]})") == R"({"a":1,"list":[]})");
  CHECK(members(planned("extract = \"links\""), R"({"a":1,"list":[]})") == R"({"a":1,"list":[]})");
}

TEST_CASE("random texts: each value that a plan names is as in the whole tree, and so is each mistake") {
  const auto all = plans();
  std::size_t read = 0, wrong = 0;
  for (unsigned seed = 0; seed < 4000; ++seed) {
    const auto text = writer(seed).text();
    const auto expected = whole(text);
    ++(expected.ec ? wrong : read);
    for (const auto& p : all) {
      INFO("seed " << seed << ": " << text);
      const auto got = named(p, text);
      REQUIRE(got.ec == expected.ec);
      if (got.ec) continue;
      for (const auto& pointer : pointers_of(p)) {
        INFO(pointer);
        const auto *a = find(expected.value, pointer), *b = find(got.value, pointer);
        REQUIRE((a == nullptr) == (b == nullptr));
        if (a != nullptr) REQUIRE(json::serialize(*a) == json::serialize(*b));
      }
    }
  }
  CHECK(read > 1000);
  CHECK(wrong > 500);
}
