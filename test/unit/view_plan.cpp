#include "recordkv/view/plan.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>
#include <limits>

#include <unistd.h>

using namespace recordkv;
using namespace recordkv::view;

namespace {

class temporary {
 public:
  explicit temporary(std::string_view text)
      : path_(std::filesystem::temp_directory_path() / fmt::format("recordkv-view-{}-{}.toml", getpid(), ++count_)) {
    std::ofstream(path_) << text;
  }
  ~temporary() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }
  std::string neutral(std::string text) const {
    for (auto at = text.find(path()); at != text.npos; at = text.find(path())) text.replace(at, path().size(), "FILE");
    return text;
  }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

std::string complaint(std::string_view text) {
  const temporary file(text);
  const auto plans = load_plans(file.path());
  if (plans) return "";
  CHECK(plans.error().code == errc::bad_config);
  return file.neutral(plans.error().text);
}

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

TEST_CASE("the likes view that ships") {
  const std::string file = std::string(RECORDKV_SOURCE_ROOT) + "/config/views/likes.toml";
  const auto plans = load_plans(file);
  REQUIRE(plans.has_value());
  REQUIRE(plans->size() == 1);
  const auto& p = plans->front();
  CHECK(p.name == "likes");
  CHECK(p.collection == "app.bsky.feed.like");
  CHECK(p.file == file);
  CHECK(p.line > 0);
  REQUIRE(p.columns.size() == 3);
  CHECK(p.columns[0].name == "subject");
  CHECK(p.columns[0].pointer == "/subject/uri");
  CHECK(p.columns[0].required);
  CHECK(p.columns[0].index);
  CHECK(p.columns[1].name == "subject_cid");
  CHECK(p.columns[2].name == "created_at");
  CHECK_FALSE(p.columns[2].required);
  const auto failures = check_plans(file);
  REQUIRE(failures.has_value());
  CHECK(*failures == std::vector<std::string>{});
}

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

TEST_CASE("several views in a file, each with its line") {
  const temporary file(
      "[[view]]\nname = \"a\"\ncollection = \"x.y.a\"\ncolumns = [ { name = \"n\", pointer = \"/n\", type = "
      "\"integer\" } "
      "]\n\n[[view]]\nname = \"b\"\ncollection = \"x.y.b\"\n[[view.columns]]\nname = \"t\"\npointer = \"/t\"\n");
  const auto plans = load_plans(file.path());
  REQUIRE(plans.has_value());
  REQUIRE(plans->size() == 2);
  CHECK((*plans)[0].columns[0].type == column_type::integer);
  CHECK((*plans)[0].line == 1);
  CHECK((*plans)[1].columns[0].name == "t");
  CHECK((*plans)[1].line == 6);
}

TEST_CASE("a wrong view file: the message names file, line and key and says what to write") {
  const std::string head = "[[view]]\nname = \"v\"\ncollection = \"a.b.c\"\n";
  const std::string good = head + "columns = [ { name = \"x\", pointer = \"/x\", type = \"integer\" } ]\n";
  const std::string rest = "collection = \"a.b.c\"\ncolumns = [ { name = \"x\", pointer = \"/x\" } ]\n";
  const auto column = [&](std::string_view c) { return fmt::format("{}columns = [\n  {{ {} }},\n]\n", head, c); };
  const std::vector<std::pair<std::string, std::string>> table{
      {"", "FILE:1: [[view]]: is missing; a view file holds at least one"},
      {"[view]\nname = \"v\"\n", "FILE:1: view: write [[view]] with two brackets, since a file may hold several"},
      {"[[veiw]]\n", "FILE:1: veiw: unknown key; known are view"},
      {head,
       "FILE:1: view.columns: is missing; write columns = [ { name = \"subject\", pointer = \"/subject/uri\" } ]"},
      {good + "colums = 1\n", "FILE:5: view.colums: unknown key; known are name, collection, columns, test"},
      {good + "each = \"/facets\"\n", "FILE:5: view.each: is still to come; one record gives one row"},
      {good + good, "FILE:5: view.name: \"v\" stands above already; name each view once"},
      {"[[view]]\ncollection = \"a.b.c\"\ncolumns = [ { name = \"x\", pointer = \"/x\" } ]\n",
       "FILE:1: view.name: is missing; write name = \"likes\""},
      {"[[view]]\nname = \"Likes\"\n" + rest,
       "FILE:2: view.name: \"Likes\" cannot name a table; use up to 48 of a-z, 0-9 and _, a letter first, not "
       "recordkv_... or sqlite_..."},
      {"[[view]]\nname = \"recordkv_position\"\n" + rest,
       "FILE:2: view.name: \"recordkv_position\" cannot name a table; use up to 48 of a-z, 0-9 and _, a letter first, "
       "not recordkv_... or sqlite_..."},
      {"[[view]]\nname = \"sqlite_x\"\n" + rest,
       "FILE:2: view.name: \"sqlite_x\" cannot name a table; use up to 48 of a-z, 0-9 and _, a letter first, not "
       "recordkv_... or sqlite_..."},
      {"[[view]]\nname = 5\n" + rest, "FILE:2: view.name: wants text in quotes; write name = \"likes\""},
      {"[[view]]\nname = \"v\"\ncollection = \"app.bsky.*\"\ncolumns = [ { name = \"x\", pointer = \"/x\" } ]\n",
       "FILE:3: view.collection: \"app.bsky.*\" is no collection; write one whole, such as \"app.bsky.feed.like\""},
      {column("pointer = \"/x\""), "FILE:5: view.columns.name: is missing; write name = \"subject\""},
      {column("name = \"x\""), "FILE:5: view.columns.pointer: is missing; write pointer = \"/subject/uri\""},
      {column("name = \"x y\", pointer = \"/x\""),
       "FILE:5: view.columns.name: \"x y\" cannot name a column; use up to 48 of a-z, 0-9 and _, a letter first"},
      {column("name = \"did\", pointer = \"/x\""),
       "FILE:5: view.columns.name: every view has a column \"did\" already; choose another"},
      {column("name = \"x\", pointer = \"/x\" },\n  { name = \"x\", pointer = \"/y\""),
       "FILE:6: view.columns.name: \"x\" stands above already; name each column once"},
      {column("name = \"x\", pointer = \"subject\""),
       "FILE:5: view.columns.pointer: \"subject\" is no JSON pointer; write one such as \"/subject/uri\", ~ as ~0"},
      {column("name = \"x\", pointer = \"/a~2\""),
       "FILE:5: view.columns.pointer: \"/a~2\" is no JSON pointer; write one such as \"/subject/uri\", ~ as ~0"},
      {column("name = \"x\", pointer = \"/x\", type = \"string\""),
       "FILE:5: view.columns.type: \"string\" is no type; choose text, integer, real, boolean, timestamp or json"},
      {column("name = \"x\", pointer = \"/x\", required = \"yes\""),
       "FILE:5: view.columns.required: wants true or false; the default is required = false"},
      {column("name = \"x\", pointer = \"/x\", indexed = true"),
       "FILE:5: view.columns.indexed: unknown key; known are name, pointer, type, required, index"},
      {head + "columns = []\n",
       "FILE:1: view.columns: is missing; write columns = [ { name = \"subject\", pointer = \"/subject/uri\" } ]"},
      {head + "columns = [\"x\"]\n",
       "FILE:4: view.columns: write columns = [ { name = \"subject\", pointer = \"/subject/uri\" } ]"},
      {good + "[view.test]\nrecord = \"{}\"\n", "FILE:5: view.test: write [[view.test]] with two brackets"},
      {good + "[[view.test]]\nrecord = \"{\"\nrow = {}\n", "FILE:6: view.test.record: is no JSON; write it in '…'"},
      {good + "[[view.test]]\nrecord = \"{}\"\n",
       "FILE:5: view.test.row: write the row that is expected, or rejected = true where there must be none"},
      {good + "[[view.test]]\nrecord = \"{}\"\nrow = { y = 1 }\n",
       "FILE:7: view.test.row.y: the view has no such column"},
      {good + "[[view.test]]\nrecord = \"{}\"\nrow = { x = \"1\" }\n",
       "FILE:7: view.test.row.x: is not of the column's type, integer"},
      {good + "[[view.test]]\nrow = {}\n", "FILE:5: view.test.record: is missing; write record = \"{}\""},
  };
  for (const auto& [text, expected] : table) {
    INFO(text);
    CHECK(complaint(text) == expected);
  }
  CHECK(complaint("[[view]\n").starts_with("FILE:1: "));
  CHECK(load_plans("/nowhere/v.toml").error().text ==
        "cannot read view file /nowhere/v.toml: No such file or directory");
}

TEST_CASE("tests inside a view file tell what differs") {
  const std::string head =
      "[[view]]\nname = \"v\"\ncollection = \"a.b.c\"\ncolumns = [\n  { name = \"t\", pointer = \"/t\" },\n"
      "  { name = \"n\", pointer = \"/n\", type = \"integer\", required = true },\n"
      "  { name = \"r\", pointer = \"/r\", type = \"real\" },\n  { name = \"b\", pointer = \"/b\", type = \"boolean\" "
      "},\n"
      "  { name = \"j\", pointer = \"/j\", type = \"json\" },\n]\n";
  const auto failures = [&](std::string_view tests) {
    const temporary file(head + std::string(tests));
    auto out = check_plans(file.path());
    if (!out) FAIL(out.error().text);
    for (auto& line : *out) line = file.neutral(line);
    return *out;
  };
  using lines = std::vector<std::string>;
  CHECK(failures("").empty());
  CHECK(failures("[[view.test]]\nrecord = '{\"t\":\"a\",\"n\":1,\"r\":2,\"b\":true,\"j\":[1, 2]}'\n"
                 "row = { t = \"a\", n = 1, r = 2, b = true, j = '[ 1,2 ]' }\n")
            .empty());
  CHECK(failures("[[view.test]]\nrecord = '{\"n\":1,\"t\":\"a\"}'\nrow = { n = 2 }\n") ==
        lines{"FILE:11: view v: column t: expected NULL, got \"a\"", "FILE:11: view v: column n: expected 2, got 1"});
  CHECK(failures("[[view.test]]\nrecord = '{}'\nrow = { n = 2 }\n") ==
        lines{"FILE:11: view v: the record is rejected: a required column is missing or of another type"});
  CHECK(failures("[[view.test]]\nrecord = '{\"n\":1}'\nrejected = true\n") ==
        lines{"FILE:11: view v: the record gives a row, but should be rejected"});
  CHECK(failures("[[view.test]]\nrecord = '{}'\nrejected = true\n").empty());
}
