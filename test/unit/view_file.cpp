#include "recordkv/view/plan.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>

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
