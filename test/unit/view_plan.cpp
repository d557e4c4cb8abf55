#include "recordkv/view/plan.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using namespace recordkv::view;

namespace {

/// The single cell of a one-column plan; "rejected" when there is no row.
std::string cell_text(column_type type, std::string_view json, bool required = false) {
  plan p{.name = "v", .collection = "a.b.c", .columns = {}, .file = {}};
  p.columns.push_back({.name = "x", .pointer = "/x", .type = type, .required = required});
  const auto row = extract(p, fmt::format(R"({{"x":{}}})", json));
  if (!row) return "rejected";
  if (const auto* s = std::get_if<std::string>(&row->front())) return "'" + *s + "'";
  if (const auto* n = std::get_if<std::int64_t>(&row->front())) return fmt::to_string(*n);
  if (const auto* d = std::get_if<double>(&row->front())) return fmt::format("{:?}", fmt::to_string(*d));
  return "NULL";
}

plan likes() {
  return {.name = "likes",
          .collection = "app.bsky.feed.like",
          .columns = {{.name = "subject", .pointer = "/subject/uri", .required = true, .index = true},
                      {.name = "created_at", .pointer = "/createdAt"}},
          .file = {}};
}

}  // namespace

TEST_CASE("cells by type; anything of another type is NULL") {
  using enum column_type;
  CHECK(cell_text(text, R"("ä\u0000b")") == std::string("'ä\0b'", 6));
  CHECK(cell_text(text, R"("")") == "''");
  CHECK(cell_text(text, "1") == "NULL");
  CHECK(cell_text(text, "null") == "NULL");
  CHECK(cell_text(integer, "-7") == "-7");
  CHECK(cell_text(integer, "9223372036854775807") == "9223372036854775807");
  CHECK(cell_text(integer, "9223372036854775808") == "NULL");
  CHECK(cell_text(integer, "1.0") == "NULL");
  CHECK(cell_text(integer, R"("1")") == "NULL");
  CHECK(cell_text(real, "0.5") == "\"0.5\"");
  CHECK(cell_text(real, "3") == cell_text(real, "3.0"));
  CHECK(cell_text(real, "true") == "NULL");
  CHECK(cell_text(boolean, "true") == "1");
  CHECK(cell_text(boolean, "false") == "0");
  CHECK(cell_text(boolean, "1") == "NULL");
  CHECK(cell_text(json, R"({ "a" : [1, null, "b"] })") == R"('{"a":[1,null,"b"]}')");
  CHECK(cell_text(json, "null") == "NULL");
}

TEST_CASE("timestamps are kept as sent when they are RFC 3339") {
  const auto time = [](std::string_view s) { return cell_text(column_type::timestamp, fmt::format("\"{}\"", s)); };
  for (const std::string_view good :
       {"1985-04-12T23:20:50.123Z", "1985-04-12T23:20:50Z", "2024-02-29T00:00:00.000000123+05:30",
        "2000-02-29T23:59:60-12:00", "0000-01-01T00:00:00Z"})
    CHECK(time(good) == fmt::format("'{}'", good));
  for (const std::string_view bad : {"",
                                     "1985-04-12",
                                     "1985-04-12T23:20:50",
                                     "1985-04-12 23:20:50Z",
                                     "1985-13-12T23:20:50Z",
                                     "1985-04-31T23:20:50Z",
                                     "2023-02-29T00:00:00Z",
                                     "1900-02-29T00:00:00Z",
                                     "1985-04-12T24:20:50Z",
                                     "1985-04-12T23:60:50Z",
                                     "1985-04-12T23:20:61Z",
                                     "1985-04-12T23:20:50.Z",
                                     "1985-04-12T23:20:50.1",
                                     "1985-04-12T23:20:50+24:00",
                                     "1985-04-12T23:20:50+0530",
                                     "1985-04-12T23:20:50ZZ",
                                     "-985-04-12T23:20:50Z",
                                     "1985-00-12T23:20:50Z",
                                     "1985-04-00T23:20:50Z",
                                     "1985-04-12t23:20:50z",
                                     "+198-04-12T23:20:50Z"}) {
    INFO(bad);
    CHECK(time(bad) == "NULL");
  }
  CHECK(cell_text(column_type::timestamp, R"("yesterday")", true) == "rejected");
}

TEST_CASE("a record without a required column gives no row") {
  using enum column_type;
  CHECK(cell_text(text, R"("")", true) == "''");  // empty is there
  CHECK(cell_text(text, "null", true) == "rejected");
  CHECK(cell_text(integer, R"("1")", true) == "rejected");
  CHECK(cell_text(json, "null", true) == "rejected");
  CHECK(extract(likes(), R"({"subject":{"uri":"at://x"}})").has_value());
  for (const std::string_view bad : {"", "{", "[]", "7", "null", R"({"subject":"at://x"})", R"({"subject":{}})",
                                     R"({"subject":{"uri":"at://x"}} x)", "{\"subject\":{\"uri\":\"\xff\"}}"}) {
    INFO(bad);
    CHECK_FALSE(extract(likes(), bad).has_value());
  }
}

TEST_CASE("pointers reach into lists, escaped names and the whole record") {
  plan p = likes();
  p.columns = {{.name = "a", .pointer = "/list/1/x"},
               {.name = "b", .pointer = "/a~1b~0c"},
               {.name = "c", .pointer = "/list/7/x"},
               {.name = "d", .pointer = "", .type = column_type::json}};
  const auto row = extract(p, R"({"list":[{},{"x":"one"}],"a/b~c":"two"})");
  REQUIRE(row.has_value());
  CHECK((*row)[0] == cell("one"));
  CHECK((*row)[1] == cell("two"));
  CHECK((*row)[2] == cell());
  CHECK((*row)[3] == cell(R"({"list":[{},{"x":"one"}],"a/b~c":"two"})"));
}

TEST_CASE("records may nest deep and be large, within reason") {
  plan p = likes();
  p.columns = {{.name = "x", .pointer = "/x"}};
  const auto nested = [](std::size_t n) {
    return fmt::format(R"({{"d":{}{},"x":"here"}})", std::string(n, '['), std::string(n, ']'));
  };
  CHECK(extract(p, nested(100)).has_value());
  CHECK_FALSE(extract(p, nested(100'000)).has_value());  // refused, not a stack overflow
  CHECK(extract(p, fmt::format(R"({{"long":"{}","x":"here"}})", std::string(1'000'000, 'a'))).has_value());
}

TEST_CASE("the hash changes with whatever changes rows or their shape, and with nothing else") {
  const plan p = likes();
  CHECK(p.hash() == likes().hash());
  CHECK(p.hash().size() == 16);
  const auto differs = [&](auto change) {
    plan q = likes();
    change(q);
    return q.hash() != p.hash();
  };
  CHECK(differs([](plan& q) { q.collection = "app.bsky.feed.repost"; }));
  CHECK(differs([](plan& q) { q.columns[0].name = "target"; }));
  CHECK(differs([](plan& q) { q.columns[0].pointer = "/subject/cid"; }));
  CHECK(differs([](plan& q) { q.columns[0].type = column_type::json; }));
  CHECK(differs([](plan& q) { q.columns[0].required = false; }));
  CHECK(differs([](plan& q) { q.columns[0].index = false; }));
  CHECK(differs([](plan& q) { q.columns.pop_back(); }));
  CHECK(differs([](plan& q) { std::swap(q.columns[0], q.columns[1]); }));
  CHECK_FALSE(differs([](plan& q) { q.file = "elsewhere.toml", q.line = 7; }));
  plan a = p;
  plan b = p;
  a.columns = {{.name = "ab", .pointer = "/c"}};
  b.columns = {{.name = "a", .pointer = "b/c"}};
  CHECK(a.hash() != b.hash());
}
